import pytest
from conftest import CLASSNAMES
from yacs.config import CfgNode

import splip
from splip.config import SpLIPConfig
from splip.trainers.splip import SpLIP


def host_cfg():
    """The nodes of a Dassl config that SpLIP adds to."""
    cfg = CfgNode({name: {} for name in ("TRAINER", "DATASET", "OPTIM", "INPUT", "TEST")})
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
        ({"layernorm": "some"}, r"LAYERNORM must be one of \('both', 'vision', 'text', 'none', 'leaky'\), got 'some'"),
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
        ({"fixed_margin": -0.2}, "FIXED_MARGIN must be at least 0, got -0.2"),
        ({"same_class_margin": -0.2}, "SAME_CLASS_MARGIN must be at least 0, got -0.2"),
        ({"mcc_photo": -1.0}, "MCC_PHOTO must be at least 0, got -1.0"),
        ({"mcc_sketch_at": 0.1}, "MCC_SKETCH_AT has no effect while MCC_SKETCH, its weight, is 0"),
        ({"mcc_photo_at": 2.0, "mcc_photo": 1.0}, "MCC_PHOTO_AT must be at most 1, got 2.0"),
        ({"anchor": -1.0}, "ANCHOR must be at least 0, got -1.0"),
        ({"prompt_start": "zero"}, r"PROMPT_START must be one of \('small', 'token_mean', 'token_norm'\), got 'zero'"),
        ({"prompts_after": -1}, "PROMPTS_AFTER must be at least 0, got -1"),
        ({"prompts_after": 3, "layernorm": "none"}, "PROMPTS_AFTER needs something that learns before"),
        ({"layernorm": "leaky", "train_proj": True}, "leaky trains the projection, too: set TRAIN_PROJ False"),
        # each of these was taken for something: on, off, two layers, a word
        ({"use_bt": "False"}, "USE_BT must be True or False, got 'False'"),
        ({"triplet": 0}, "TRIPLET must be True or False, got 0"),
        ({"alpha": float("nan")}, "ALPHA must be a finite number, got nan"),
        ({"logit_scale": float("nan")}, "LOGIT_SCALE must be a finite number, got nan"),
        ({"margin_scale": float("inf")}, "MARGIN_SCALE must be a finite number, got inf"),
        ({"beta": True}, "BETA must be a finite number, got True"),
        ({"alpha": "1"}, "ALPHA must be a finite number, got '1'"),
        ({"text_depth": 1.5}, "TEXT_DEPTH must be a whole number, got 1.5"),
        ({"visual_prompts": True}, "VISUAL_PROMPTS must be a whole number, got True"),
        ({"margin_template": None}, "MARGIN_TEMPLATE must be a text, got None"),
        ({"photo_template": "a photo of a {}."}, r"PHOTO_TEMPLATE is put before the class name.*'a photo of a \{\}.'"),
        ({"sketch_template": "<|endoftext|> a"}, "SKETCH_TEMPLATE is put before the class name"),
        ({"triplet": False, "alpha": 0.0, "beta": 0.0}, "has no loss: TRIPLET.*ALPHA, BETA or CONTRASTIVE above 0"),
        ({"use_bvt": False, "alpha": 0.0}, "USE_BT True has no effect.*USE_BVT.*ALPHA"),
        ({"vision_depth": 0, "alpha": 0.0}, "USE_BT True has no effect.*USE_BVT.*ALPHA"),
    ],
)
def test_values_are_checked_at_the_door(setting, message):
    with pytest.raises(ValueError, match=message):
        SpLIPConfig(**setting)


@pytest.mark.parametrize(
    ("settings", "learns"),
    [
        ({}, True),
        ({"layernorm": "none"}, True),
        ({"layernorm": "none", "vision_depth": 0, "text_depth": 0}, False),
        ({"layernorm": "none", "vision_depth": 0, "use_bt": False}, False),
        ({"layernorm": "leaky", "vision_depth": 0, "use_bt": False, "alpha": 0.0}, True),
        ({"layernorm": "none", "vision_depth": 0, "use_bt": False, "free_prompts": 2}, False),
        ({"layernorm": "none", "vision_depth": 0}, True),
        ({"layernorm": "text", "vision_depth": 0, "use_bt": False, "alpha": 0.0}, False),
        ({"layernorm": "text", "vision_depth": 0, "use_bt": False}, True),
        ({"layernorm": "none", "vision_depth": 0, "use_bt": False, "train_proj": True}, True),
    ],
    ids=str,
)
def test_what_learns_has_a_gradient_beside_the_solvers(tiny_clip, tiny_batch, settings, learns):
    config = SpLIPConfig(permutations=10, **settings)
    model = splip.SpLIP(tiny_clip, CLASSNAMES, config).train()
    loss, _ = model(tiny_batch)
    loss.backward()
    gradients = {name: p.grad for name, p in model.trainable.named_parameters() if p.grad is not None}
    moved = {name.split(".")[0] for name, gradient in gradients.items() if gradient.any()}
    print(f"{settings}: gradients in {sorted(moved)}, learns: {config.learns}")
    assert bool(moved - {"jigsaw"}) == config.learns == learns


def test_the_numbers_of_a_file_are_taken_as_they_are():
    assert SpLIPConfig(alpha=1, margin_shift=0, fixed_margin=0) == SpLIPConfig(fixed_margin=0.0)


def test_a_config_that_was_not_extended_is_named():
    with pytest.raises(ValueError, match=r"call splip.extend_cfg\(cfg\)"):
        config_from_cfg(CfgNode({"TRAINER": {}}))
