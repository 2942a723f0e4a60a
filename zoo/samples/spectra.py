"""What the materials of the synthetic world look like: reflectance in Sentinel-2's bands and backscatter in C band.

The reflectances are ours: plausible orders of magnitude for a summer's day in Europe, written down by hand from the
general shape of such spectra (chlorophyll's absorption in blue and red, the red edge, water's absorption beyond 700 nm,
iron's slope in soils, snow's fall beyond 1000 nm). They are copied from no spectral library and must not be used as
one. What they keep to is tested: the range of NDVI of each cover, water dark in the near infrared, snow bright in the
visible and dark in the short-wave infrared.

The backscatter (sigma nought at about 39 degrees of incidence, dB) is ours too: calm water near the sensor's noise,
fields around -12 dB in VV, forests 3 dB above with VH 5-6 dB below VV, buildings near -4 dB.
"""

from __future__ import annotations

import numpy as np

from zoo.samples.noise import Floats

# Sentinel-2's bands in the order of the columns below; B10 (cirrus) sees no ground and stands in `sensors`.
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")

#               B01    B02    B03    B04    B05    B06    B07    B08    B8A    B09    B11    B12      VV     VH  dB
_TABLE = """
water          0.028  0.030  0.034  0.022  0.019  0.012  0.011  0.009  0.007  0.006  0.003  0.002  -20.5  -27.5
shallows       0.042  0.052  0.072  0.058  0.050  0.030  0.027  0.022  0.018  0.015  0.008  0.005  -19.0  -26.5
broadleaf      0.018  0.024  0.046  0.025  0.073  0.240  0.310  0.330  0.345  0.345  0.170  0.078   -9.2  -14.6
conifer        0.014  0.018  0.028  0.018  0.042  0.115  0.142  0.150  0.160  0.162  0.085  0.040  -10.2  -15.6
grass          0.030  0.042  0.078  0.054  0.115  0.255  0.305  0.320  0.340  0.340  0.225  0.120  -12.6  -19.2
alpine_grass   0.038  0.052  0.084  0.080  0.128  0.210  0.240  0.252  0.272  0.275  0.255  0.155  -12.9  -19.8
cereal         0.024  0.033  0.065  0.036  0.095  0.310  0.410  0.425  0.445  0.445  0.195  0.090  -13.2  -18.4
maize          0.024  0.032  0.070  0.034  0.100  0.330  0.430  0.450  0.465  0.460  0.210  0.095   -9.8  -15.6
rapeseed       0.034  0.048  0.165  0.148  0.205  0.330  0.400  0.420  0.440  0.440  0.230  0.110  -10.4  -15.2
ripe           0.056  0.078  0.122  0.160  0.195  0.235  0.262  0.285  0.305  0.310  0.320  0.210  -13.0  -20.0
loam           0.058  0.074  0.104  0.138  0.158  0.176  0.192  0.210  0.226  0.232  0.305  0.265  -12.2  -20.6
rock           0.105  0.122  0.145  0.162  0.170  0.178  0.184  0.190  0.198  0.202  0.235  0.215  -11.4  -18.6
gravel         0.140  0.165  0.205  0.230  0.242  0.250  0.256  0.264  0.272  0.274  0.310  0.280  -13.0  -20.4
asphalt        0.072  0.082  0.094  0.102  0.107  0.112  0.117  0.122  0.128  0.130  0.150  0.138  -14.5  -22.5
tiles          0.060  0.068  0.090  0.160  0.190  0.208  0.218  0.232  0.245  0.250  0.310  0.270   -4.2  -11.0
slate          0.085  0.095  0.108  0.116  0.122  0.128  0.132  0.138  0.145  0.148  0.170  0.158   -4.2  -11.0
metal          0.205  0.215  0.225  0.230  0.234  0.238  0.242  0.248  0.254  0.256  0.270  0.240   -3.0  -10.2
reeds          0.030  0.038  0.062  0.052  0.088  0.160  0.188  0.200  0.210  0.205  0.125  0.065  -10.8  -17.6
snow           0.760  0.780  0.770  0.755  0.745  0.730  0.710  0.690  0.660  0.600  0.080  0.060  -16.0  -22.8
"""

_ROWS = [line.split() for line in _TABLE.strip().splitlines()]

MATERIALS: tuple[str, ...] = tuple(row[0] for row in _ROWS)

#: Reflectance 0..1, (materials, bands).
REFLECTANCE: Floats = np.array([[float(text) for text in row[1:13]] for row in _ROWS], np.float32)

#: Backscatter as linear power, (materials, 2): VV, VH.
BACKSCATTER: Floats = (10 ** (np.array([[float(text) for text in row[13:]] for row in _ROWS]) / 10)).astype(np.float32)

#: How much a material's brightness varies from place to place, as a share of itself (standard deviation); ours.
VARIATION: Floats = np.array(
    [
        {"water": 0.04, "shallows": 0.06, "snow": 0.03, "rock": 0.16, "loam": 0.10, "conifer": 0.10}.get(name, 0.08)
        for name in MATERIALS
    ],
    np.float32,
)


def row(material: str) -> int:
    """Number of a material in the tables."""
    return MATERIALS.index(material)
