FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /reconciler ./cmd/reconciler

# Nothing but the program and the certificates by which it knows the gateway: no shell, no user but a number. The zone
# data is inside the program.
FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="reconciler" \
      org.opencontainers.image.description="Finds out what became of ChinaUMS payments whose outcome is unknown" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /reconciler /reconciler
USER 65532:65532
# Probes and scrapes come from outside of the container.
ENV RECONCILER_LISTEN=0.0.0.0:9464
EXPOSE 9464
# /healthz, at the address that RECONCILER_LISTEN names.
HEALTHCHECK CMD ["/reconciler", "healthcheck"]
ENTRYPOINT ["/reconciler"]
CMD ["run"]
