"""Inference on streams: frames and positions are paired, predicted and stitched while they arrive."""
