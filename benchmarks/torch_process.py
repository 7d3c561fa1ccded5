"""PyTorch in a process of its own, as its users run it, driven from the process of ours.

In one process the two would share malloc, and each would run in what the other left of the heap.
"""

import copy
import multiprocessing
import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import measure, torch_models

TUNABLES = "GLIBC_TUNABLES"  # malloc's settings, see slowfast_jax/malloc.py


class TorchProcess:
    """A model of `torch_models` in some of `measure.FORMS`; a context that ends the process.

    Args:
      clip: float32 in our layout. labels: one class a clip; given, it goes forward and backward and
        keeps the gradients, without it predicts with frozen weights.
      sgd: keywords of torch.optim.SGD; given, it takes whole training steps.
      settings: malloc's, for the environment variable GLIBC_TUNABLES; "" is what comes with Linux.
    """

    def __init__(
        self, name: str, clip: np.ndarray, forms: Sequence[str], threads: int,
        labels: np.ndarray | None = None, sgd: dict | None = None, settings: str = "",
    ):
        context = multiprocessing.get_context("spawn")
        self.forms = list(forms)
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, name, clip, self.forms, threads, labels, sgd)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        with _environment(TUNABLES, settings):
            self._process.start()
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.terminate()
        self._process.join()

    @property
    def pid(self) -> int:
        return self._process.pid

    def weights(self) -> dict[str, np.ndarray]:
        """The model's state dict, of PySlowFast's names."""
        return self._ask("weights", "")

    def contestants(self) -> dict[str, Callable[[], object]]:
        """What `measure.in_turn` takes: one call a form, and the matrix product."""
        runs = {form: lambda form=form: self._ask("run", form) for form in self.forms}
        return runs | {"matmul, PyTorch": lambda: self._ask("matmul", "")}

    def result(self, form: str) -> np.ndarray | dict[str, np.ndarray]:
        """Of the form's last run: probabilities, or the state dict with gradients as weights, or
        after training steps with the parameters."""
        return self._ask("result", form)

    def _ask(self, what: str, form: str) -> object:
        self._pipe.send((what, form))
        try:
            return self._pipe.recv()
        except EOFError:
            raise RuntimeError("PyTorch's process ended; what it printed says why") from None


def random_model(name: str, seed: int = 0) -> nn.Module:
    """A model of random weights under which no layer vanishes and logits spread by about one.

    Batch norms have random statistics, too: with mean 0 and variance 1 a wrong fold would not show.
    """
    torch.manual_seed(seed)
    model = torch_models.create(name)
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    for block in model.modules():
        if isinstance(block, torch_models.Bottleneck):  # else the sum grows from block to block
            nn.init.uniform_(block.c_bn.weight, 0.15, 0.35)
    return model


@contextmanager
def _environment(name: str, value: str):
    """Sets an environment variable, or removes it where the value is empty."""
    before = os.environ.pop(name, None)
    if value:
        os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def _serve(
    pipe: Connection, name: str, clip: np.ndarray, forms: Sequence[str], threads: int,
    labels: np.ndarray | None, sgd: dict | None,
) -> None:
    """The process: answers until the other side goes."""
    torch.set_num_threads(threads)
    reference = random_model(name).train(labels is not None)
    contiguous = torch.from_numpy(np.ascontiguousarray(np.moveaxis(clip, -1, 1)))
    models, clips, outputs = {}, {}, {}
    for form in forms:
        model, clips[form] = copy.deepcopy(reference), contiguous
        if form == "channels_last":
            model = model.to(memory_format=torch.channels_last_3d)
            clips[form] = contiguous.to(memory_format=torch.channels_last_3d)
        elif form == "compile":
            torch._inductor.config.freezing = labels is None
            model = torch.compile(model)
        models[form] = model
    optimizers = {}
    if sgd:
        optimizers = {form: torch.optim.SGD(m.parameters(), **sgd) for form, m in models.items()}
    square = torch.randn(measure.MATMUL, measure.MATMUL)

    def run(form):
        if labels is None:
            with torch.no_grad():
                outputs[form] = models[form](clips[form])
        else:
            models[form].zero_grad(set_to_none=True)
            F.cross_entropy(models[form](clips[form]), torch.from_numpy(labels)).backward()
            if sgd:
                optimizers[form].step()

    def matmul(_):
        torch.matmul(square, square)

    def result(form):
        if labels is None:
            return outputs[form].numpy()
        state = reference.state_dict()  # for names and buffers; a compiled model prefixes its own
        pairs = zip(reference.named_parameters(), models[form].parameters(), strict=True)
        return arrays(state | {key: p if sgd else p.grad for (key, _), p in pairs})

    def arrays(state):
        return {key: tensor.detach().numpy() for key, tensor in state.items()}

    answers = {
        "weights": lambda _: arrays(reference.state_dict()),
        "run": run,
        "result": result,
        "matmul": matmul,
    }
    while True:
        try:
            what, form = pipe.recv()
        except EOFError:
            return
        pipe.send(answers[what](form))
