# overreach alone: one static file in an empty root, run by nobody in particular.
# The first stage is what `make build` does.

FROM golang:1.26.8-alpine AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /overreach ./cmd/overreach

FROM scratch
# The authorities that vouch for servers with TLS, and the zones of mappings' times.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /
ENV ZONEINFO=/zoneinfo.zip OVERREACH_CONFIG=/etc/overreach/config.yaml
COPY --from=build /overreach /overreach
USER 65532:65532
EXPOSE 9464
HEALTHCHECK --interval=15s --timeout=6s --start-period=60s --retries=4 CMD ["/overreach", "health"]
ENTRYPOINT ["/overreach"]
CMD ["run"]
