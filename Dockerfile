# ccproxy without the local model. A key of its own is asked for, since the container listens beyond loopback:
#   docker run -p 3456:3456 -e CCPROXY_API_KEY=… -e OPENAI_API_KEY=… ccproxy

FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements/build.txt requirements/run.txt requirements/
RUN python -m venv /opt/ccproxy \
 && /opt/ccproxy/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt -r requirements/run.txt
COPY . .
RUN /opt/ccproxy/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --create-home ccproxy \
 && mkdir /etc/ccproxy \
 && printf 'host: 0.0.0.0\napi_key: ${CCPROXY_API_KEY}\n' > /etc/ccproxy/config.yaml
COPY --from=build /opt/ccproxy /opt/ccproxy
ENV PATH=/opt/ccproxy/bin:$PATH CCPROXY_CONFIG=/etc/ccproxy/config.yaml PYTHONUNBUFFERED=1
USER ccproxy
EXPOSE 3456
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3456/health', timeout=3)"]
ENTRYPOINT ["ccproxy"]
CMD ["start"]
