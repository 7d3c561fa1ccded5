// A click on a part of the timeline shows that second of the film, and opens the row.
element.addEventListener('click', event => {
  const part = event.target.closest('[data-seconds]');
  const film = element.querySelector('video');
  if (!part || !film) return;
  film.currentTime = Number(part.dataset.seconds);
  const row = part.closest('details');
  if (row && row.open) event.preventDefault();
});
