"""The network: backbones, branches of one scale each, and the fusion of modalities."""
