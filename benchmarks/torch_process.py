"""PyTorch as its users run it, in its own process."""

import copy
import io
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import measure, torch_models
from benchmarks.side_process import Handlers, SideProcess

TUNABLES = "GLIBC_TUNABLES"  # environment variable of malloc's settings, see slowfast_jax/malloc.py


class TorchProcess(SideProcess):
    """A model of `torch_models` in PyTorch's own process; a context manager that ends the process.

    Args:
      name: a key of `torch_models.MODELS`.
      clip: float32 `(N, T, H, W, 3)`.
      forms: some of `measure.FORMS` and `measure.GRAPH_FORMS`.
      threads: number of threads of PyTorch.
      labels: N class indices. If given, a run is a forward and a backward pass, and the gradients
        are kept; otherwise it predicts with frozen weights.
      sgd: keywords of torch.optim.SGD. If given, a run is a whole training step.
      settings: value of the environment variable GLIBC_TUNABLES; "" leaves malloc at its defaults.
    """

    def __init__(
        self, name: str, clip: np.ndarray, forms: Sequence[str], threads: int,
        labels: np.ndarray | None = None, sgd: dict | None = None, settings: str = "",
    ):
        self.forms = list(forms)
        super().__init__(
            "PyTorch", _handlers, name, clip, self.forms, threads, labels, sgd,
            environment={TUNABLES: settings},
        )

    def weights(self) -> dict[str, np.ndarray]:
        """The model's state dict, with PySlowFast's names."""
        return self.call("weights")

    def contestants(self) -> dict[str, Callable[[], object]]:
        """For `measure.in_turn`: a run of each form, and the matrix product."""
        runs = {form: lambda form=form: self.call("run", form) for form in self.forms}
        return runs | {"matmul, PyTorch": lambda: self.call("matmul")}

    def result(self, form: str) -> np.ndarray | dict[str, np.ndarray]:
        """The outcome of the last run of a form.

        Returns:
          Predicting: probabilities `(N, K)`. Forward and backward: the state dict with gradients
          in place of the parameters. Training steps: the state dict.
        """
        return self.call("result", form)


def random_model(name: str, seed: int = 0) -> nn.Module:
    """A model with random weights: every layer affects the logits, which vary by about one.

    Batch norms get random statistics, too: with mean 0 and variance 1 a wrong fold would not show.
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
        if isinstance(block, torch_models.Bottleneck):  # else activations grow from block to block
            nn.init.uniform_(block.c_bn.weight, 0.15, 0.35)
    return model


def graph_of(model: nn.Module, clip: torch.Tensor, form: str) -> Callable:
    """PyTorch's own graph of a model, compiled by another program: clip -> probabilities."""
    if form == "onnxruntime":
        import onnx

        from slowfast_jax.backends.onnxruntime_graph import compile_graph

        file = io.BytesIO()
        torch.onnx.export(model, clip, file, dynamo=False)
        graph = onnx.load_from_string(file.getvalue())
        run, name = compile_graph(graph, "float32"), graph.graph.input[0].name
        return lambda x: torch.from_numpy(run({name: x.numpy()}))
    from slowfast_jax.backends.openvino_graph import import_openvino

    openvino = import_openvino()
    precision = "bf16" if form.endswith("bf16") else "f32"
    compiled = openvino.compile_model(
        openvino.convert_model(model, example_input=clip), "CPU",
        {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"},
    )
    request = compiled.create_infer_request()
    return lambda x: torch.from_numpy(request.infer([x.numpy()], share_inputs=True)[0].copy())


def _handlers(
    name: str, clip: np.ndarray, forms: Sequence[str], threads: int, labels: np.ndarray | None,
    sgd: dict | None,
) -> Handlers:
    """The functions that `TorchProcess` calls; runs in its process."""
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
        elif form in measure.GRAPH_FORMS:
            model = graph_of(model.eval(), contiguous, form)
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

    def matmul():
        torch.matmul(square, square)

    def result(form):
        if labels is None:
            return outputs[form].numpy()
        # The reference gives names and buffers: a compiled model adds a prefix to its names.
        state = reference.state_dict()
        pairs = zip(reference.named_parameters(), models[form].parameters(), strict=True)
        return arrays(state | {key: p if sgd else p.grad for (key, _), p in pairs})

    def arrays(state):
        return {key: tensor.detach().numpy() for key, tensor in state.items()}

    return {
        "weights": lambda: arrays(reference.state_dict()),
        "run": run,
        "result": result,
        "matmul": matmul,
    }
