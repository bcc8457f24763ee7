// For readers without a mouse: what is wider than the page gets a shadow at its edge (custom.css) and can be scrolled by
// keyboard; the buttons that copy code are no stops on the way.
(() => {
  const WIDE = ":is(pre, mjx-container, .printed-table, .pst-scrollable-table-container)";
  const look = () => document.querySelectorAll(`.bd-article ${WIDE}`).forEach(box => {
    const wide = getComputedStyle(box).overflowX !== "visible" && box.scrollWidth - box.clientWidth > 2;
    box.classList.toggle("wide", wide);
    if (wide) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
  // Code can be selected and copied by keyboard without a button, of which a page has dozens.
  const quiet = () => document.querySelectorAll("button.copybtn").forEach(button => { button.tabIndex = -1; });
  const start = () => { look(); quiet(); window.addEventListener("resize", look); };
  window.addEventListener("load", () => (window.MathJax?.startup?.promise || Promise.resolve()).then(start));
})();
