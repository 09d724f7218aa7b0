package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"reconciler/internal/credentials"
	"reconciler/internal/ops"
	"reconciler/internal/store"
	"reconciler/internal/webhook"
)

// webhookSecretVariable holds the secret itself, which has no flag.
const webhookSecretVariable = "RECONCILER_WEBHOOK_SECRET"

type webhookSettings struct {
	URL        string `name:"webhook-url" env:"RECONCILER_WEBHOOK_URL" placeholder:"URL" help:"Where each event is sent by POST, signed by the Standard Webhooks scheme. Without: nowhere."`
	SecretFile string `name:"webhook-secret-file" env:"RECONCILER_WEBHOOK_SECRET_FILE" placeholder:"FILE" help:"A file that holds the secret of the signatures, instead of RECONCILER_WEBHOOK_SECRET."`
}

// resolveWebhook checks the settings and reads the secret. The warnings are for the log.
func (s webhookSettings) resolveWebhook(getenv func(string) string, insecureHTTP bool) (secret string, warnings []string, err error) {
	secret = getenv(webhookSecretVariable)
	var urlErr error
	switch problem := webhook.CheckURL(s.URL, insecureHTTP); {
	case s.URL == "" && secret == "" && s.SecretFile == "":
		return "", nil, nil
	case s.URL == "":
		urlErr = errors.New("a webhook secret is set without RECONCILER_WEBHOOK_URL (or --webhook-url)")
	case problem != nil:
		urlErr = badSetting{"webhook-url", problem.Error()}
	}
	secret, warnings, secretErr := s.readSecret(secret)
	return secret, warnings, errors.Join(urlErr, secretErr, checkProxy(getenv, s.URL))
}

func (s webhookSettings) readSecret(secret string) (_ string, warnings []string, err error) {
	switch {
	case secret != "" && s.SecretFile != "":
		return "", nil, errors.New("RECONCILER_WEBHOOK_SECRET and RECONCILER_WEBHOOK_SECRET_FILE are both set: set one")
	case s.SecretFile != "":
		content, warning, err := credentials.ReadPrivateFile(s.SecretFile)
		if err != nil {
			return "", nil, badSetting{"webhook-secret-file", fmt.Sprintf("%s %v", s.SecretFile, err)}
		}
		if warning != "" {
			warnings = append(warnings, s.SecretFile+" "+warning)
		}
		secret = strings.TrimSpace(string(content))
	case secret == "":
		return "", nil, errors.New("no webhook secret: set RECONCILER_WEBHOOK_SECRET, or RECONCILER_WEBHOOK_SECRET_FILE (or --webhook-secret-file)")
	}
	warning, err := webhook.CheckSecret(secret)
	if err != nil {
		err = fmt.Errorf("%w (RECONCILER_WEBHOOK_SECRET, or in the file)", err)
	}
	if warning != "" {
		warnings = append(warnings, warning)
	}
	return secret, warnings, err
}

// newDeliverer is nil without a webhook.
func (c *runCommand) newDeliverer(d daemon, orders *store.Store, metrics *ops.Metrics, logger *slog.Logger) (*webhook.Deliverer, error) {
	if c.Webhook.URL == "" {
		return nil, nil
	}
	return webhook.New(webhook.Options{
		Store: orders, URL: c.Webhook.URL, Secret: d.webhookSecret, Worker: d.options.Worker,
		Logger: logger.With(slog.String("component", "webhook")), Observe: metrics.ObserveDelivery,
	})
}
