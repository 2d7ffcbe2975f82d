"""What `equilib predict` gives the models of the experiments with images."""

from __future__ import annotations

from equilib.commands.images import ImageInput

DIGITS = ImageInput(height=28, width=28, channels=1, classes=tuple("0123456789"), light_on_dark=True)

# In the order of the labels (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009).
_KINDS = "airplane automobile bird cat deer dog frog horse ship truck"
PHOTOGRAPHS = ImageInput(height=32, width=32, channels=3, classes=tuple(_KINDS.split()))
