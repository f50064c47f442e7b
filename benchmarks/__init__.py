"""Speed and memory beside their bounds; `python -m benchmarks` writes results/latest.{json,md}. Nothing is asserted."""
