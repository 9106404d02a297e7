import pytest
from yacs.config import CfgNode

import splip
from splip.config import SpLIPConfig
from splip.trainers.splip import SpLIP


def host_cfg():
    """The nodes of a Dassl config that SpLIP adds to."""
    cfg = CfgNode({name: {} for name in ("TRAINER", "DATASET", "OPTIM", "INPUT")})
    splip.extend_cfg(cfg)
    return cfg


def config_from_cfg(cfg):
    return SpLIP.model_class.config_of(SpLIP.method_settings(cfg))


def test_yacs_and_dataclass_agree_on_names_and_defaults():
    assert config_from_cfg(host_cfg()) == SpLIPConfig()


def test_a_key_reaches_the_dataclass():
    cfg = host_cfg()
    node = "TRAINER.SPLIP."
    cfg.merge_from_list([node + "ALPHA", "0.5", node + "MARGIN", "fixed", node + "USE_BT", "False"])
    config = config_from_cfg(cfg)
    assert (config.alpha, config.margin, config.use_bt) == (0.5, "fixed", False)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"layernorm": "some"}, r"LAYERNORM must be one of \('both', 'vision', 'text', 'none'\), got 'some'"),
        ({"text_conditioning": "x"}, "TEXT_CONDITIONING must be one of"),
        ({"margin": "wide"}, r"MARGIN must be one of \('adaptive', 'fixed'\), got 'wide'"),
        ({"text_prompts": 0}, "TEXT_PROMPTS must be at least 1, got 0"),
        ({"vision_depth": -1}, "VISION_DEPTH must be at least 0, got -1"),
        ({"grid": 1}, "GRID must be at least 2, got 1"),
        ({"beta": -0.1}, "BETA must be at least 0, got -0.1"),
        ({"bt_pool": "max"}, r"BT_POOL must be one of \('inside', 'mean', 'attention'\), got 'max'"),
        ({"bvt_states": "x"}, "BVT_STATES must be one of"),
        ({"bvt_activation": "tanh"}, "BVT_ACTIVATION must be one of"),
        ({"distance": "l1"}, r"DISTANCE must be one of \('sq_l2', 'cosine'\), got 'l1'"),
        ({"tiles": "pad"}, r"TILES must be one of \('crop', 'resize'\), got 'pad'"),
        ({"bv_layers": 0}, "BV_LAYERS must be at least 1, got 0"),
        ({"lr_mappers": 0.0}, "LR_MAPPERS must be above 0, got 0.0"),
        ({"contrastive_temperature": 0}, "CONTRASTIVE_TEMPERATURE must be above 0, got 0"),
        ({"layernorm_shared": False, "layernorm": "text"}, "LAYERNORM must be 'both' or 'vision', got 'text'"),
        ({"prototype_momentum": 1.0}, r"PROTOTYPE_MOMENTUM must lie in \[0, 1\), got 1.0"),
    ],
)
def test_values_are_checked_at_the_door(setting, message):
    with pytest.raises(ValueError, match=message):
        SpLIPConfig(**setting)


def test_a_config_that_was_not_extended_is_named():
    with pytest.raises(ValueError, match=r"call splip.extend_cfg\(cfg\)"):
        config_from_cfg(CfgNode({"TRAINER": {}}))
