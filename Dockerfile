FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 GRADIO_ANALYTICS_ENABLED=False \
    ENHANCE_DATA=/home/user/data ENHANCE_WEIGHTS=/home/user/data/weights

RUN useradd --create-home --uid 1000 user
WORKDIR /home/user/app

# cpu omits 2.8 GB of CUDA, cuda is for NVIDIA GPUs. uv downloads the CPU build from PyTorch's own index, and the build of
# the image fails if it cannot.
ARG TORCH=cpu
COPY requirements.lock .
RUN pip install "uv>=0.9,<1" && \
    grep -oE "^torch(vision)?==[0-9.]+" requirements.lock > /tmp/torch && \
    if [ "$TORCH" = cpu ]; then \
        UV_HTTP_TIMEOUT=60 uv pip install --system --torch-backend=cpu --no-deps -r /tmp/torch || \
        { echo "Cannot download the CPU build of PyTorch. Check the connection, or build with TORCH=cuda." >&2; exit 1; }; \
        awk "/^[a-z]/ { kept = !/^(cuda|nvidia|triton)/ } kept" requirements.lock > /tmp/lock; \
    else cp requirements.lock /tmp/lock; fi && \
    pip install --require-hashes -r /tmp/lock && rm /tmp/lock /tmp/torch

# The user that runs the server cannot change the program's files.
COPY . .
RUN python -m compileall -q app.py enhance
USER 1000
# With these models the image runs without a network. Lock files are deleted because they must be in the volume.
RUN ENHANCE_WEIGHTS=/home/user/weights python -m enhance weights fetch && rm -f /home/user/weights/*.lock && mkdir -p /home/user/data

VOLUME /home/user/data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['GRADIO_SERVER_PORT'] + '/healthz', timeout=4)"]
# Added and downloaded models are stored in the volume. The models of the image are linked there.
ENTRYPOINT ["sh", "-c", "mkdir -p \"$ENHANCE_WEIGHTS\" && ln -sf /home/user/weights/* \"$ENHANCE_WEIGHTS\" && exec \"$@\"", "sh"]
CMD ["python", "app.py"]
