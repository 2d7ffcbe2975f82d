"""What an equilibrium is like, and how far it and its gradient can be trusted."""

from equilib.diagnostics.certificate import Certificate, Trust, certify, jacobian_norm
from equilib.diagnostics.spectral_radius import RadiusStatus, SpectralRadius, spectral_radius

__all__ = [
    "Certificate",
    "RadiusStatus",
    "SpectralRadius",
    "Trust",
    "certify",
    "jacobian_norm",
    "spectral_radius",
]
