"""Videos and sounds: decoding, JPEG, spectrogram, and the augmentations of training."""
