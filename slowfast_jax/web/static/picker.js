// Uploads the chosen file, shows how far that is, and keeps the token of the upload as the value.
const input = element.querySelector('input');
const drop = element.querySelector('.drop');
const bar = element.querySelector('progress');
const status = element.querySelector('.status');
let request = null;

function tell(text, failed = false) {
  status.textContent = text;
  status.classList.toggle('failed', failed);
}

function forget() {
  if (request) request.abort();
  request = null;
  bar.hidden = true;
  if (props.value) navigator.sendBeacon(`discard/${props.value}`);
}

function answer(text) {
  try { return JSON.parse(text); } catch { return {}; }
}

function send(file) {
  forget();
  props.value = '';
  if (file.size > props.most) {
    tell(`${file.name} has ${Math.ceil(file.size / 1e6)} MB, more than ${props.most / 1e6}.`, true);
    return;
  }
  const mine = request = new XMLHttpRequest();
  mine.open('POST', 'upload');
  mine.upload.onprogress = event => {
    bar.value = event.total ? event.loaded / event.total : 0;
    tell(`${file.name}: ${Math.round(100 * bar.value)} % uploaded`);
  };
  mine.onerror = () => {
    bar.hidden = true;
    tell(`${file.name} was not uploaded: the connection to the server ended.`, true);
  };
  mine.onload = () => {
    bar.hidden = true;
    request = null;
    const found = answer(mine.responseText);
    if (mine.status !== 200) {
      tell(`${file.name}: ${found.detail || 'the server refused it.'}`, true);
      return;
    }
    props.value = found.token;
    const seconds = found.seconds.toFixed(found.seconds < 1 ? 2 : 1);
    tell(`${file.name}: ${seconds} s, ${found.width}x${found.height}`);
    trigger('upload');
  };
  bar.value = 0;
  bar.hidden = false;
  tell(`${file.name}: uploading`);
  mine.send(file);
}

input.addEventListener('change', () => {
  if (input.files.length) send(input.files[0]);
  input.value = '';
});
for (const name of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  drop.addEventListener(name, event => {
    event.preventDefault();
    drop.classList.toggle('over', name === 'dragenter' || name === 'dragover');
    if (name === 'drop' && event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
}
watch('value', () => { if (!props.value && !request) tell(''); });
window.addEventListener('pagehide', forget);
