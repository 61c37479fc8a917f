"""Rendered clips: a frozen world of classes, painted and synthesised, for streams without a download."""
