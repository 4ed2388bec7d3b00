"""From a recording to decisions and replies, in a notebook's worth of Python.

    python examples/listen.py CHECKPOINT RECORDING

The ``# %%`` lines are cells for editors that show a script as a notebook.
"""

# %% A checkpoint: trained here, a published release, or the id of a hub repository.
import sys

import numpy as np

from soundflow import AudioInteraction
from soundflow.api import Decided, ReplyEnded, ReplyStarted, ReplyText
from soundflow.audio.files import read_audio

if len(sys.argv) != 3:
    sys.exit("usage: listen.py CHECKPOINT RECORDING")
checkpoint, recording = sys.argv[1:]
model = AudioInteraction.from_pretrained(checkpoint)
print(f"takes {model.spec.time.sample_rate_hz} Hz, decides every {model.spec.time.chunk_s} s")

# %% A file: every decision, and every word as it is produced; the same as `soundflow infer` prints.
for event in model.stream(recording, temperature=0):
    match event:
        case Decided(time_s=time_s, p_response=p, speak=speak):
            state = "SPEAKS" if speak else "silent"
            print(f"{time_s:6.1f} s  p = {p or 0:.2f}  {state}")
        case ReplyStarted(emotion=emotion):
            print(f"          ({emotion}) ", end="")
        case ReplyText(text=text):
            print(text, end="", flush=True)
        case ReplyEnded():
            print()

# %% A live source: packets of any length, pushed as they arrive; one session, one memory.
samples = read_audio(recording)
with model.open(temperature=0) as session:
    for packet in np.array_split(samples, 50):
        session.push(packet)  # a microphone would take its time; this arrives all at once
spoken = [e.text for e in session.events() if isinstance(e, ReplyEnded)]
print(f"in 50 packets, without silence after them: {len(spoken)} replies {spoken}")

# %% Two recordings in one session, a second of silence after each: the first is the context of the
# second.
decisions = 0
for known in model.stream_files([recording, recording], temperature=0):
    decisions += sum(isinstance(event, Decided) for event in known)
print(f"twice the recording: {decisions} decisions")
