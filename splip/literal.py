"""The whole method on one page: SpLIP, Singha et al., ECCV 2024 (arXiv 2407.04207), with the paper's symbols.

Read this first. It is slow and has only the paper's options. `splip/model.py` computes the same, fast and with more
options; `tests/method/test_literal.py` compares the two. A letter says where a line comes from: F figure or table of
the paper, A abstract, P another paper, N note of a third party, R re-implementations, H the first author's other code,
D our decision (reasons: docs/FIDELITY.md). Sizes: B images, N patches, C seen classes, P permutations. The widths are
Dv (vision tower), Dt (text tower) and d (joint space).
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn import Linear, ModuleDict

from splip.backbone.layout import clip_package

cos = nn.CosineSimilarity(dim=-1)


def run(block, x, mask=None):
    """Run one of CLIP's residual blocks on whole sequences, (B, length, width) -> the same."""
    h = block.ln_1(x).transpose(0, 1)
    x = x + block.attn(h, h, h, need_weights=False, attn_mask=mask)[0].transpose(0, 1)
    return x + block.mlp(block.ln_2(x))


def shuffle(s, permutation):
    """s': a sketch (3, H, W) is cut 3 x 3 (F), tile permutation[i] goes to place i; the rim does not change (D)."""
    shuffled, side, rim = s.clone(), s.shape[-1] // 3, s.shape[-1] % 3 // 2
    places = [(rim + row * side, rim + column * side) for row in range(3) for column in range(3)]
    for (y, x), (v, u) in zip(places, [places[i] for i in permutation]):
        shuffled[:, y : y + side, x : x + side] = s[:, v : v + side, u : u + side]
    return shuffled


class LiteralSpLIP:
    """SpLIP around one CLIP, which is frozen (F) except its LayerNorms (N). Its methods are the figure's boxes."""

    def __init__(self, clip, classnames, bank, m=4, n=2, alpha=1.0, beta=1.0):  # m, n: F; alpha, beta: D
        self.clip, self.visual, self.alpha, self.beta = clip.requires_grad_(False), clip.visual, alpha, beta
        self.bank = bank  # the jigsaw's permutations, (P, 9): `splip.jigsaw.permutation_bank` (H, D)
        Dv, Dt, d = clip.visual.class_embedding.shape[0], clip.ln_final.bias.shape[0], clip.text_projection.shape[1]
        norms = {name.replace(".", "_"): x for name, x in clip.named_modules() if isinstance(x, nn.LayerNorm)}
        layer = nn.TransformerEncoderLayer(d, max(1, d // 64), 2 * d, 0.0, "gelu", batch_first=True, norm_first=True)
        parts = self.trainable = ModuleDict({  # what is trained; widths of the solver: D
            "layernorms": ModuleDict(norms),
            "b_t": ModuleDict({"patch": Linear(Dv, Dt), "hidden": Linear(Dt, Dt), "out": Linear(Dt, m * Dt)}),
            "b_v": ModuleDict({"map": nn.Sequential(Linear(Dt, Dv))}),
            "b_vt": ModuleDict({"map": nn.Sequential(Linear(Dt, 256), nn.ReLU(), Linear(256, n * Dv))}),
            "jigsaw": ModuleDict({"encoder": nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)}),
            "prototypes": nn.Module(),  # running means, for inference (D)
        })  # fmt: skip
        for p in [*parts.b_t.parameters(), *parts.b_v.parameters(), *parts.b_vt.parameters()]:  # near zero (D)
            nn.init.normal_(p, std=0.02) if p.dim() > 1 else nn.init.zeros_(p)
        parts.jigsaw.classifier, parts.jigsaw.role = Linear(2 * d, len(bank)), nn.Parameter(0.02 * torch.randn(2, d))
        for name, start in ("sketch", torch.zeros(Dt)), ("photo", torch.zeros(Dt)), ("updates", torch.tensor([0, 0])):
            parts.prototypes.register_buffer(name, start)
        parts.requires_grad_(True).to(clip.text_projection)
        texts = {kind: [f"a {kind} of a {x.replace('_', ' ')}" for x in classnames] for kind in ("sketch", "photo")}
        self.tokens = {kind: clip_package().tokenize(texts[kind]).to(clip.text_projection.device) for kind in texts}
        with torch.no_grad():  # mu(c+, c-) = cos(F_t(c+), F_t(c-)) (A, N), by the text encoder before training
            names = clip.encode_text(self.tokens["photo"])  # D
            self.mu = cos(names[:, None], names).fill_diagonal_(0.3)  # where c+ = c-, in fine-grained training: P

    def E_0(self, images):
        """Patch embeddings (F), (B, 3, H, W) -> (B, N, Dv)."""
        return self.visual.conv1(images).flatten(2).transpose(1, 2)

    def T(self, images, modality):
        """T of a training step: one for the batch (D), from E_0 of all images of a modality, with s' (F)."""
        pooled = F.gelu(self.trainable.b_t.patch(self.E_0(images))).mean(dim=(0, 1))  # over patches and images (D)
        with torch.no_grad():  # update the running mean (D)
            count = self.trainable.prototypes.updates[["sketch", "photo"].index(modality)].add_(1).item()
            self.trainable.prototypes.get_buffer(modality).lerp_(pooled, max(0.01, 1 / count))
        return self.B_t(pooled)

    def B_t(self, pooled):
        """Vision -> text (F), three linear layers (N): E_0 after the first one, pooled (Dt,) -> T (m, Dt)."""
        return self.trainable.b_t.out(F.gelu(self.trainable.b_t.hidden(pooled))).unflatten(-1, (-1, len(pooled)))

    def F_t(self, T, modality):
        """Text encoder: "a sketch of a [CLASS]", T in every layer (F) -> features (C, d), W_l (C, Dt) by layer."""
        tokens, W = self.tokens[modality], []
        end = tokens.argmax(dim=-1)  # the end-of-text token has the highest id
        x = self.clip.token_embedding(tokens) + self.clip.positional_embedding  # (C, 77, Dt)
        causal = x.new_full([x.shape[1] + len(T)] * 2, float("-inf")).triu(1)
        for block in self.clip.transformer.resblocks:
            x = run(block, torch.cat([x[:, :1], T.expand(len(x), -1, -1), x[:, 1:]], dim=1), causal)  # its place: D
            x = torch.cat([x[:, :1], x[:, 1 + len(T) :]], dim=1)  # the outputs at T's places are dropped (F)
            W.append(torch.stack([text[: e + 1].mean(dim=0) for text, e in zip(x, end)]))  # mean over tokens (R)
        x = torch.stack([text[e] for text, e in zip(x, end)])
        return self.clip.ln_final(x) @ self.clip.text_projection, W

    def B_v(self, modality):
        """Text -> vision (F), one linear layer (R): the words "a sketch of a" -> V^tg, visual prompts (4, Dv)."""
        W_0 = self.clip.token_embedding(self.tokens[modality][0, 1:5]) + self.clip.positional_embedding[1:5]  # R
        return self.trainable.b_v.map(F.layer_norm(W_0, W_0.shape[-1:]))  # normalised: D

    def B_vt(self, W_l):
        """Text -> vision by layer (F): W_l of all seen classes (N), (C, Dt) -> V^ms_l, visual prompts (n, Dv)."""
        mean, Dv = W_l.mean(dim=0), len(self.visual.class_embedding)  # R
        return self.trainable.b_vt.map(F.layer_norm(mean, mean.shape)).unflatten(-1, (-1, Dv))  # normalised: D

    def F_v(self, images, V_tg, W):
        """Image encoder: [c, E, V^tg, V^ms_l] into layer l, c and E into the next (F), (B, 3, H, W) -> (B, d)."""
        c, blocks = self.visual.class_embedding.expand(len(images), 1, -1), self.visual.transformer.resblocks
        x = self.visual.ln_pre(torch.cat([c, self.E_0(images)], dim=1) + self.visual.positional_embedding)
        for layer, block in enumerate(blocks):
            V_ms_l = self.B_vt(W[layer * len(W) // len(blocks)])  # of W_l (F); where the towers' depths differ: D
            prompts = torch.cat([V_tg, V_ms_l]).expand(len(x), -1, -1)
            x = run(block, torch.cat([x, prompts], dim=1))[:, : x.shape[1]]
        return self.visual.ln_post(x[:, 0]) @ self.visual.proj

    def features(self, images, modality, T):
        """The figure from T on -> features of images (B, d) and of classes (C, d)."""
        classes, W = self.F_t(T, modality)
        return self.F_v(images, self.B_v(modality), W), classes

    def F_js(self, whole, shuffled):
        """Jigsaw solver (F), two layers (N): features of an image and of s' (B, d) -> a score of each permutation."""
        solver, pair = self.trainable.jigsaw, F.normalize(torch.stack([whole, shuffled], dim=1), dim=-1)
        return solver.classifier(solver.encoder(pair * pair.shape[-1] ** 0.5 + solver.role).flatten(1))  # D

    def loss(self, batch):
        """Images (B, 3, H, W), labels c+, c- and y (B,), named as `SpLIP` takes them -> L and its terms."""
        s, p_pos, p_neg, y = (batch[name] for name in ("sketch", "positive", "negative", "permutation"))
        c_pos, c_neg, ce = batch["label"], batch["negative_label"], F.cross_entropy
        s_js = torch.stack([shuffle(image, self.bank[i].tolist()) for image, i in zip(s, y.tolist())])  # s'
        T_s, T_p = self.T(torch.cat([s, s_js]), "sketch"), self.T(torch.cat([p_pos, p_neg]), "photo")
        (s, s_classes), (s_js, _) = self.features(s, "sketch", T_s), self.features(s_js, "sketch", T_s)
        (p_pos, p_classes), (p_neg, _) = self.features(p_pos, "photo", T_p), self.features(p_neg, "photo", T_p)

        # L_triplet = mean [ mu(c+, c-) + d(s, p+) - d(s, p-) ]_+ (A, N), d: squared L2 of unit vectors (R)
        d_pos, d_neg = 2 - 2 * cos(s, p_pos), 2 - 2 * cos(s, p_neg)
        L_triplet = F.relu(self.mu[c_pos, c_neg] + d_pos - d_neg).mean()
        # L_class: s, p+ and p- against the classes prompted for their modality (F), temperature: CLIP's own (D)
        images, classes, labels = (s, p_pos, p_neg), (s_classes, p_classes, p_classes), (c_pos, c_pos, c_neg)
        scale = self.clip.logit_scale.exp()
        L_class = sum(ce(scale * cos(x[:, None], t), c) for x, t, c in zip(images, classes, labels)) / 3
        # L_cjs = CE(F_js(r), y) + [ CE(F_js(r+), y) - CE(F_js(r-), y) ]_+ (N), r, r+, r- = [s, s'], [p+, s'], [p-, s']
        r, r_pos, r_neg = (ce(self.F_js(x, s_js), y, reduction="none") for x in (s, p_pos, p_neg))
        L_cjs = (r + F.relu(r_pos - r_neg)).mean()
        L = L_triplet + self.alpha * L_class + self.beta * L_cjs  # F
        return L, {"triplet": L_triplet, "class": L_class, "jigsaw": L_cjs}

    @torch.no_grad()
    def embed(self, images, modality):
        """Embeddings to rank by cosine (D), (B, 3, H, W) -> (B, d), unit length. No test class name is used."""
        T = self.B_t(self.trainable.prototypes.get_buffer(modality))
        return F.normalize(self.features(images, modality, T)[0], dim=-1)
