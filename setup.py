"""Installs slowfast_jax, data_pipelines and convert; `pip install -e '.[test]'` in a checkout."""

import re
from pathlib import Path

from setuptools import find_packages, setup

FACADE = Path(__file__).with_name("slowfast_jax") / "__init__.py"
VERSION = re.search(r'__version__ = "(.*)"', FACADE.read_text(encoding="utf-8"))[1]
ONNX = ["onnx>=1.18", "onnxruntime>=1.22"]
OPENVINO = ["openvino>=2025.2", "onnx>=1.18"]
HUB = ["huggingface_hub>=1.0"]
DEMO = ["onnxruntime>=1.22", "trackers>=2.6"]
WEB = ["gradio>=6.20", "fastapi>=0.115", "uvicorn>=0.30"]
SERVE = ["fastapi>=0.115", "uvicorn>=0.30", "prometheus-client>=0.20"]

setup(
    name="slowfast_jax",
    version=VERSION,
    description="Video models of PySlowFast in JAX: same numbers, faster, on TPU, GPU and CPU",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["slowfast_jax*", "data_pipelines*", "convert*"]),
        "slowfast_jax.configs",
    ],
    # The recipes are installed within the package: `configs` is too common a name for one of its
    # own. slowfast_jax/config/recipe_files.py finds them there.
    package_dir={"slowfast_jax.configs": "configs"},
    package_data={
        "data_pipelines": ["labels/*.txt"], "slowfast_jax.published": ["rows/*.csv"],
        "slowfast_jax.web": ["static/*"],
    },
    install_requires=[
        "jax>=0.10",
        "flax>=0.12",
        "optax>=0.2.5",
        "orbax-checkpoint>=0.11.33",
        "grain>=0.2.10",
        "tensorflow-datasets>=4.9.8",
        "array-record>=0.8.1; sys_platform != 'win32'",
        "numpy>=2.0",
        "ml-collections>=1.0",
        "clu>=0.0.12",
        "absl-py>=2.1",
        "av>=17.0",
        "pillow>=11.0",
        "rich>=13.0",
        "safetensors>=0.5",
        "scipy>=1.13",
        "tensorboardX>=2.6",
        "pyyaml>=6.0",
        "flatbuffers>=24.3",  # jax.export writes and reads its files with it
    ],
    extras_require={
        "cuda": ["jax[cuda13]>=0.10"],
        "tpu": ["jax[tpu]>=0.10"],
        "demo": DEMO,
        "hub": HUB,
        "serve": SERVE,
        "web": WEB,
        "test": [
            "pytest>=8.0", "pytest-xdist>=3.5", "ruff>=0.9", "httpx2>=2.0",
            "nbclient>=0.10", "ipykernel>=6.29", "selenium>=4.20",
            *DEMO, *HUB, *ONNX, *OPENVINO, *SERVE, *WEB,
        ],
        "beam": ["apache-beam>=2.60"],
        "ray": ["ray[data]>=2.40"],
        "benchmark": ["torch>=2.5"],
        "onnx": ONNX,
        "openvino": OPENVINO,
    },
    entry_points={
        "console_scripts": [
            "slowfast-jax=slowfast_jax.console_scripts:main",
            "slowfast-jax-predict=slowfast_jax.console_scripts:predict",
            "slowfast-jax-convert=slowfast_jax.console_scripts:convert",
            "slowfast-jax-demo=slowfast_jax.console_scripts:demo",
            "slowfast-jax-visualize=slowfast_jax.console_scripts:visualize",
            "slowfast-jax-web=slowfast_jax.console_scripts:web",
            "slowfast-jax-annotate=slowfast_jax.console_scripts:annotate",
            "slowfast-jax-prepare=data_pipelines.prepare.__main__:main",
            "slowfast-jax-doctor=data_pipelines.doctor.__main__:main",
        ]
    },
)
