"""Diagnostics of an equilibrium: its properties, and how far it and its gradient can be trusted."""

from equilib.diagnostics.agreement import Agreement
from equilib.diagnostics.certificate import Certificate, Trust, certify, jacobian_norm
from equilib.diagnostics.gradient_check import check_gradient
from equilib.diagnostics.gradient_report import GradientCheck
from equilib.diagnostics.spectrum import RadiusStatus, SpectralRadius, spectral_radius

__all__ = [
    "Agreement",
    "Certificate",
    "GradientCheck",
    "RadiusStatus",
    "SpectralRadius",
    "Trust",
    "certify",
    "check_gradient",
    "jacobian_norm",
    "spectral_radius",
]
