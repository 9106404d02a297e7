"""`Datum` and `DatasetBase`, as data sets written for Dassl expect them."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence


class Datum:
    """One labelled image: where it is, its class index, its domain index, its class name."""

    def __init__(self, impath: str = "", label: int = 0, domain: int = 0, classname: str = "") -> None:
        if not isinstance(impath, str):
            raise TypeError(f"impath must be a str, got {type(impath).__name__}")
        # Dassl's underscored names: subclasses and copies made for one engine work with the other
        self._impath, self._label = impath, label
        self._domain, self._classname = domain, classname

    @property
    def impath(self) -> str:
        return self._impath

    @property
    def label(self) -> int:
        return self._label

    @property
    def domain(self) -> int:
        return self._domain

    @property
    def classname(self) -> str:
        return self._classname


class DatasetBase:
    """Lists of `Datum` by use. Class names and their number come from `train_x` alone."""

    dataset_dir = ""
    domains: Sequence[str] = ()

    def __init__(
        self,
        train_x: Sequence[Datum],
        train_u: Optional[Sequence[Datum]] = None,
        val: Optional[Sequence[Datum]] = None,
        test: Optional[Sequence[Datum]] = None,
    ) -> None:
        self._train_x, self._train_u, self._val, self._test = train_x, train_u, val, test
        names = {item.label: item.classname for item in train_x}
        self._lab2cname: Dict[int, str] = {label: names[label] for label in sorted(names)}

    @property
    def train_x(self):
        return self._train_x

    @property
    def train_u(self):
        return self._train_u

    @property
    def val(self):
        return self._val

    @property
    def test(self):
        return self._test

    @property
    def lab2cname(self) -> Dict[int, str]:
        return self._lab2cname

    @property
    def classnames(self) -> List[str]:
        return list(self._lab2cname.values())

    @property
    def num_classes(self) -> int:
        return max(self._lab2cname) + 1
