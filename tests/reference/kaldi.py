"""Filter bank features of kaldi-native-fbank, with the settings that WeSpeaker's networks were trained with."""

from __future__ import annotations

import kaldi_native_fbank
import numpy as np


def kaldi(sound: np.ndarray, n_mels: int = 80) -> np.ndarray:
    """Samples (S,) in [-1, 1] -> (T, n_mels), with WeSpeaker's settings."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq, options.frame_opts.dither, options.frame_opts.window_type = 16_000, 0.0, "hamming"
    options.mel_opts.num_bins, options.use_energy = n_mels, False
    made = kaldi_native_fbank.OnlineFbank(options)
    made.accept_waveform(16_000, (sound * 32_768).tolist())
    made.input_finished()
    rows = [made.get_frame(frame) for frame in range(made.num_frames_ready)]
    return np.stack(rows) if rows else np.zeros((0, n_mels), np.float32)
