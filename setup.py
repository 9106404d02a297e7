from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="splip",
    version="0.2.0",
    description="SpLIP (ECCV 2024): multimodal prompt learning for zero-shot sketch-based image retrieval",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.9,<3.14",
    packages=find_packages(include=["splip", "splip.*"]),
    package_data={"splip": ["assets/**/*", "py.typed"]},
    install_requires=[
        "torch>=2.1",
        "torchvision>=0.16",
        "openai-clip>=1.0.1",
        "setuptools<81",  # openai-clip imports pkg_resources
        "yacs>=0.1.8",
        "gdown>=5",
        "numpy",
        "filelock",  # torch needs it too
        "pillow>=10.1",
        "tqdm",
        "tensorboard",
        "matplotlib>=3.6",
    ],
    entry_points={"console_scripts": ["splip=splip.cli:main"]},
    extras_require={
        "test": ["pytest>=7", "scikit-learn", "torchmetrics", "ruff", "mypy"],
        "export": ["onnx", "onnxruntime", "onnxscript"],  # splip export --format onnx
    },
)
