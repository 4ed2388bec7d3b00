"""What the published release was trained with, where a checkpoint does not say it itself."""

from __future__ import annotations

# The instruction of every published training sample, letter by letter: with any other, the
# released weights get a prefix that they have never seen.
PUBLISHED_SYSTEM = (
    "You are a helpful assistant. When there is no user text, if the audio contains a question, "
    "please answer it. If it is a sound effect, determine based on the sound whether help is "
    "needed."
)

# Longest published training row, and the most tokens of a published session.
PUBLISHED_POSITIONS = 4096

# Silence that published decoding puts behind every file.
PUBLISHED_SILENCE_S = 1.0
