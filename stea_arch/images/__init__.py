"""Image files as pixels and back: one decoder and one encoder for photographs, training and evaluation alike."""
