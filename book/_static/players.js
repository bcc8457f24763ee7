// On a phone a player's frame of two panels is shown as its left half, and below it as its right half (custom.css): the same
// picture twice. A copy follows each frame, so that it is hidden with it.
(() => {
  const phone = window.matchMedia("(max-width: 600px)");
  const add = () => {
    if (!phone.matches || document.querySelector("figure.explorer img.rest")) return;
    for (const frame of document.querySelectorAll('figure.explorer img[style*="--two"]')) {
      const rest = frame.cloneNode();
      rest.className = "rest";
      rest.alt = "";
      rest.hidden = false;
      frame.after(rest);
    }
  };
  phone.addEventListener("change", add);
  add();
})();
