# OpenClaw's image with the sidecar from the image that Nix has built (docs/operations.md says how it gets to a registry).
#
#     fly deploy --config images/fly/fly.toml --dockerfile images/fly/Dockerfile.nix \
#       --build-arg OPENCLAW_IMAGE=IMAGE --build-arg SIDECAR_IMAGE=registry.fly.io/APP:trace

# The image that runs OpenClaw now, by version or digest.
ARG OPENCLAW_IMAGE
# The scratch image of this project, by digest if it is not your own.
ARG SIDECAR_IMAGE

FROM ${SIDECAR_IMAGE} AS trace

FROM ${OPENCLAW_IMAGE}
COPY --from=trace /openclaw-trace /usr/local/bin/openclaw-trace
# The right architecture, or the build ends here. As the image's own user, which is not root.
RUN ["openclaw-trace", "--version"]
CMD ["openclaw-trace", "run", "--", "node", "dist/index.js", "gateway", "--allow-unconfigured", "--port", "3000", "--bind", "lan"]
