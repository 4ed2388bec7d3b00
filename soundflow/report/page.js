// Moves the play-head of every stream with its audio; a click on the picture seeks.
for (const stream of document.querySelectorAll(".stream")) {
  const audio = stream.querySelector("audio");
  const picture = stream.querySelector(".timeline");
  const head = stream.querySelector(".playhead");
  if (!audio || !picture || !head) continue;
  const { x0, x1, duration } = picture.dataset;
  const from = Number(x0), to = Number(x1), seconds = Number(duration);

  const draw = () => {
    const x = from + (to - from) * Math.min(1, audio.currentTime / seconds);
    head.setAttribute("x1", x);
    head.setAttribute("x2", x);
    head.setAttribute("visibility", "visible");
    if (!audio.paused && !audio.ended) requestAnimationFrame(draw);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    draw();
  });
  audio.addEventListener("seeked", draw);
  picture.addEventListener("click", (event) => {
    const point = new DOMPoint(event.clientX, event.clientY)
      .matrixTransform(picture.getScreenCTM().inverse());
    const share = (point.x - from) / (to - from);
    if (share < 0 || share > 1) return;
    audio.currentTime = share * seconds;
    audio.play();
  });
}
