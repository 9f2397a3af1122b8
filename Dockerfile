FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 GRADIO_ANALYTICS_ENABLED=False \
    ENHANCE_DATA=/home/user/data ENHANCE_WEIGHTS=/home/user/data/weights

# The home folder belongs to root, so that the user cannot replace the program in it.
RUN useradd --no-create-home --uid 1000 user
WORKDIR /home/user/app

# cpu: PyTorch without CUDA, 2.8 GB smaller, which uv downloads from PyTorch's own index. cuda: PyTorch for NVIDIA GPUs. The
# image is not built if that index cannot be reached, or if the installed PyTorch is not the selected one.
ARG TORCH=cpu
COPY requirements.lock .
RUN cp requirements.lock /tmp/lock && \
    if [ "$TORCH" = cpu ]; then \
        grep -oE "^torch(vision)?==[0-9.]+" requirements.lock > /tmp/torch && \
        pip install --quiet "uv>=0.9,<1" && \
        UV_HTTP_TIMEOUT=60 uv pip install --system --torch-backend=cpu --no-deps -r /tmp/torch || \
        { echo "Cannot download the CPU build of PyTorch. Check the connection, or build with TORCH=cuda." >&2; exit 1; }; \
        awk "/^[a-z]/ { kept = !/^(cuda|nvidia|triton)/ } kept" requirements.lock > /tmp/lock; \
    fi && \
    pip install --require-hashes -r /tmp/lock && rm -f /tmp/lock /tmp/torch && \
    python -c "import torch; assert '$TORCH' == ('cuda' if torch.version.cuda else 'cpu'), torch.__version__"

COPY . .
RUN python -m compileall -q app.py enhance
# With these models, the image runs without a network. The cache keeps the downloads when the program changes. Lock files
# are deleted because they must be in the volume.
RUN --mount=type=cache,target=/tmp/weights \
    ENHANCE_WEIGHTS=/tmp/weights python -m enhance weights fetch && cp -r /tmp/weights /home/user/weights && \
    rm -f /home/user/weights/*.lock /home/user/weights/*.part && install -d -o user /home/user/data

USER 1000
VOLUME /home/user/data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['GRADIO_SERVER_PORT'] + '/healthz', timeout=4)"]
# Added and downloaded models are stored in the volume. The models of the image are linked there.
ENTRYPOINT ["sh", "-c", "mkdir -p \"$ENHANCE_WEIGHTS\" && ln -sf /home/user/weights/* \"$ENHANCE_WEIGHTS\" && exec \"$@\"", "sh"]
CMD ["python", "app.py"]
