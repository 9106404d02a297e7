"""A Hugging Face Space that runs splip app: search the photos in ./photos with a drawing."""

import os

from splip.common.threads import wait_passively

wait_passively()  # before torch is loaded

import uvicorn  # noqa: E402

import splip  # noqa: E402
from splip.search.server import make_app  # noqa: E402

index = splip.Index.open("index", os.environ.get("SPLIP_MODEL", "splip-search"))
print(index.add([os.environ.get("SPLIP_PHOTOS", "photos")]), flush=True)

if __name__ == "__main__":
    app = make_app(index, local=False, frame_ancestors="https://huggingface.co https://*.hf.space")
    uvicorn.run(app, host="0.0.0.0", port=int(os.environ.get("PORT", 7860)))
