// On a narrow screen, the answer is below the buttons: scrolls to it.
function show() {
  if (element.getBoundingClientRect().top > window.innerHeight / 2) {
    element.scrollIntoView({behavior: 'smooth'});
  }
}
window.addEventListener('asked', show);
watch('value', () => requestAnimationFrame(show));

// A click on a part of the timeline shows that second of the film, and opens the row.
element.addEventListener('click', event => {
  const part = event.target.closest('[data-seconds]');
  const film = element.querySelector('video');
  if (!part || !film) return;
  film.currentTime = Number(part.dataset.seconds);
  const row = part.closest('details');
  if (row && row.open) event.preventDefault();
});
