import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
HUGGING_FACE = ["transformers>=4.56", "huggingface_hub>=0.34"]
OPEN_CLIP = ["open_clip_torch>=3.0"]
SEARCH = ["faiss-cpu>=1.8", "pyarrow", "pathspec>=0.12", "scipy"]
COMPLETION = ["shtab>=1.7"]
JPEG = ["simplejpeg"]
MILVUS = [f'{name}>=3.0; python_version >= "3.10"' for name in ("pymilvus", "milvus-lite")]  # none for 3.9
PHOTOS = ["pillow-heif>=0.18", "resvg-py>=0.1.6"]
APP = [*SEARCH, *PHOTOS, "starlette>=0.49.1", "uvicorn>=0.30"]
NOTEBOOKS = ["nbformat", "nbclient", "ipykernel"]
TEST = ["pytest>=7.3", "pytest-xdist", "scikit-learn", "torchmetrics", "ruff~=0.17.6", "mypy", "httpx", *NOTEBOOKS]

setup(
    name="splip",
    version=re.search(r'__version__ = "(.+)"', HERE.joinpath("splip/__init__.py").read_text(encoding="utf-8"))[1],
    description="SpLIP (ECCV 2024): multimodal prompt learning for zero-shot sketch-based image retrieval",
    long_description=HERE.joinpath("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT AND Apache-2.0 AND CC-BY-4.0 AND CC-BY-SA-4.0",  # the code; drawings and weights that it ships
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    keywords="sketch-based image retrieval, zero-shot, CLIP, prompt learning, SBIR",
    project_urls={"Paper": "https://arxiv.org/abs/2407.04207"},
    python_requires=">=3.9,<3.14",
    # At the top of a checkout, as in CoOp and MaPLe; imported as splip.trainers and splip.datasets.
    packages=[*find_packages(include=["splip", "splip.*"]), "splip.trainers", "splip.datasets"],
    package_dir={"splip.trainers": "trainers", "splip.datasets": "datasets"},
    package_data={"splip": ["assets/**/*", "py.typed"]},
    install_requires=[
        "torch>=2.6",  # from then on torch.load(weights_only=True) runs no code (CVE-2025-32434)
        "torchvision>=0.21",
        "openai-clip>=1.0.1",
        "packaging",
        "safetensors>=0.4",
        "yacs>=0.1.8",
        "gdown>=5",
        "numpy",
        "filelock",  # torch needs it too
        "pillow>=10.3",
        "tqdm",
        "tensorboard",
        "matplotlib>=3.6",
    ],
    entry_points={"console_scripts": ["splip=splip.cli:main"]},
    extras_require={
        "test": [*TEST, *COMPLETION, *JPEG, *HUGGING_FACE, *OPEN_CLIP, *APP, *MILVUS],
        "search": SEARCH,  # splip index, splip search
        "milvus": MILVUS,  # the same with --engine milvus
        "app": APP,  # splip app
        "photos": PHOTOS,  # HEIC (iPhones) and SVG, also in data sets
        "completion": COMPLETION,  # splip --print-completion
        "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.27"],  # mkdocs build
        "mteb": ["mteb>=2.0", "datasets"],  # splip.search.mteb
        "jpeg": JPEG,  # JPEGs decoded faster, to the same pixels
        "export": ["onnx", "onnxruntime", "onnxscript"],  # splip export --format onnx
        "hf": [*HUGGING_FACE, "pyarrow"],  # CLIPs, encoders, sharing what was trained, mirrors of data sets
        "open_clip": OPEN_CLIP,  # CLIPs and encoders of open_clip: LAION, DataComp, SigLIP, ...
    },
)
