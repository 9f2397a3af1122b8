"""Metadata of images: what is read, what a result keeps, and what each output format can hold."""

from __future__ import annotations

from .metadata import CHOICES, Metadata
