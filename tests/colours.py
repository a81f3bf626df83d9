"""How well two colours can be told apart, also by people who see colours differently."""

import matplotlib.colors
import numpy as np
from skimage.color import deltaE_ciede2000, rgb2xyz, xyz2lab
from skimage.color.colorconv import rgb_from_xyz, xyz_from_rgb

# Machado, Oliveira and Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency",
# IEEE Transactions on Visualization and Computer Graphics 15(6), table 1, severity 1.0; for linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def xyz(colour):
    """CIE XYZ, whose Y is the luminance, of anything that Matplotlib takes for a colour."""
    return rgb2xyz(matplotlib.colors.to_rgb(colour))


def contrast(one, other):
    """Contrast of two colours, 1 to 21. Source: Web Content Accessibility Guidelines 2.1, success criterion 1.4.3."""
    darker, lighter = sorted(xyz(colour)[1] for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def difference(one, other, vision="normal"):
    """CIEDE2000 difference of two colours as somebody sees them; about 1 is the least that can be noticed."""
    seen = [np.clip(VISION[vision] @ rgb_from_xyz @ xyz(colour), 0, 1) for colour in (one, other)]
    return float(deltaE_ciede2000(*(xyz2lab(xyz_from_rgb @ linear) for linear in seen)))
