"""Inference on streams: frames and positions are paired, predicted and put together while they come."""
