"""The built-in engine: the few members of Dassl that SpLIP uses, under the same names.

It stands in where Dassl (https://github.com/KaiyangZhou/Dassl.pytorch, not on PyPI) is not
installed. Import from `splip.dassl_api`, never from here: that module picks the engine.
"""
