"""Measure the speed, beside torchvision."""
