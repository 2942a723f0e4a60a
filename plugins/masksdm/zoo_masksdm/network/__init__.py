"""The networks of MaskSDM: the masked transformer, and the baselines it is compared with."""
