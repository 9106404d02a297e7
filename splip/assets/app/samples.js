// Drawings to try: lists of strokes on a canvas of 512 x 512, drawn for this page.

const round = (points) => points.map(([x, y]) => [Math.round(x), Math.round(y)]);

function arc(x, y, width, height, from = 0, to = 360) {
  const points = [];
  for (let i = 0; i <= 24; i++) {
    const angle = ((from + ((to - from) * i) / 24) * Math.PI) / 180;
    points.push([x + width * Math.cos(angle), y + height * Math.sin(angle)]);
  }
  return round(points);
}

const FISH = [
  arc(220, 256, 140, 85, 18, 342), [[353, 230], [450, 170], [430, 256], [450, 342], [353, 282]],
  arc(135, 235, 12, 12), arc(150, 262, 45, 70, -50, 50), arc(240, 172, 70, 40, 200, 340),
];
const FLOWER = [
  arc(256, 170, 36, 36), arc(256, 96, 40, 40, 110, 430), arc(327, 148, 40, 40, 200, 500), arc(300, 232, 40, 40, 260, 580),
  arc(212, 232, 40, 40, -40, 280), arc(185, 148, 40, 40, 40, 340), [[256, 206], [250, 330], [262, 470]],
  arc(310, 370, 58, 26, 0, 360), arc(200, 410, 58, 26, 0, 360),
];
const CUP = [
  arc(220, 160, 120, 34), [[100, 160], [120, 380], [150, 410], [290, 410], [320, 380], [340, 160]],
  arc(345, 260, 70, 75, -75, 95), arc(345, 260, 42, 46, -75, 95),
];

export const SAMPLES = { fish: FISH, flower: FLOWER, cup: CUP };
