"""A client of `soundflow serve` in thirty lines: a WAV in, decisions and replies out.

soundflow serve runs/quickstart/model
python examples/stream_client.py talk.wav ws://127.0.0.1:8000/v1/stream
"""

import asyncio
import json
import os
import sys
import wave

from websockets.asyncio.client import connect

PACKET_S = 0.1


async def main(recording: str, url: str) -> None:
    token = os.environ.get("SOUNDFLOW_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with connect(url, additional_headers=headers) as socket:
        talking = asyncio.create_task(talk(socket, recording))
        async for message in socket:
            event = json.loads(message)
            if event["event"] == "decided":
                print(f"{event['time_s']:6.1f} s  p = {event['p_response']:.2f}")
            elif event["event"] == "reply_ended":
                print(f"          ({event['emotion']}) {event['text']}")
            elif event["event"] == "error":
                print("error:", event["message"])
        await talking


async def talk(socket, recording: str) -> None:
    with wave.open(recording) as audio:
        rate_hz = audio.getframerate()
        await socket.send(json.dumps({"command": "configure", "sample_rate_hz": rate_hz}))
        while packet := audio.readframes(round(rate_hz * PACKET_S)):
            await socket.send(packet)
            await asyncio.sleep(PACKET_S)  # as a microphone would
    await socket.send('{"command": "finish"}')


if len(sys.argv) != 3:
    sys.exit("usage: stream_client.py RECORDING.wav ws://HOST:PORT/v1/stream")
try:
    with wave.open(sys.argv[1]) as audio:
        layout = (audio.getnchannels(), audio.getsampwidth())
except (OSError, wave.Error, EOFError) as error:
    sys.exit(f"{sys.argv[1]}: cannot be read as WAV ({error})")
if layout != (1, 2):  # the protocol knows no other
    sys.exit(f"{sys.argv[1]}: is not 16-bit mono; convert it first, e.g. with ffmpeg -ac 1")
try:
    asyncio.run(main(*sys.argv[1:]))
except ConnectionError as error:
    sys.exit(f"{sys.argv[2]}: {error}; is `soundflow serve` running?")
