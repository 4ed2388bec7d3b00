// Moves the play-head of every stream with its audio; a click on a picture, or on a time, seeks.
// A long stream is drawn as several pictures, one below the other, that share one player.
for (const stream of document.querySelectorAll(".stream")) {
  const audio = stream.querySelector("audio");
  const pictures = [...stream.querySelectorAll(".timeline")].map((svg) => ({
    svg,
    head: svg.querySelector(".playhead"),
    from: Number(svg.dataset.x0),
    to: Number(svg.dataset.x1),
    start: Number(svg.dataset.start),
    seconds: Number(svg.dataset.duration),
  }));
  if (!audio || !pictures.length) continue;
  let shown = null;

  const draw = () => {
    const now = audio.currentTime;
    const current = pictures.findLast((p) => p.start <= now) ?? pictures[0];
    if (shown && shown !== current) shown.head.setAttribute("visibility", "hidden");
    shown = current;
    const share = Math.min(1, (now - current.start) / current.seconds);
    const x = current.from + (current.to - current.from) * share;
    current.head.setAttribute("x1", x);
    current.head.setAttribute("x2", x);
    current.head.setAttribute("visibility", "visible");
    if (!audio.paused && !audio.ended) requestAnimationFrame(draw);
  };
  const seek = (seconds) => {
    audio.currentTime = seconds;
    audio.play();
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    draw();
  });
  audio.addEventListener("seeked", draw);
  for (const { svg, from, to, start, seconds } of pictures) {
    svg.addEventListener("click", (event) => {
      const point = new DOMPoint(event.clientX, event.clientY)
        .matrixTransform(svg.getScreenCTM().inverse());
      const share = (point.x - from) / (to - from);
      if (share >= 0 && share <= 1) seek(start + share * seconds);
    });
  }
  for (const time of stream.querySelectorAll("[data-seek]")) {
    time.addEventListener("click", () => seek(Number(time.dataset.seek)));
  }
}
