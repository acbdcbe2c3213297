// Command daprd is the Dapr runtime with only the components the tests use.
//
// Why not dapr's own cmd/daprd/app: it imports cmd/daprd/components, which refuses to start unless built with the tag
// "allcomponents" or "stablecomponents". Those tags compile in every component there is, and with them the SDK of every
// cloud: a far longer build, and modules which not every Go proxy can serve. What app.Run does beyond that is small, so
// it is repeated here. Flags, API servers, health checks and shutdown are dapr's own code: tests meet the real sidecar.
//
// One error in its log means nothing: "couldn't find name resolver mdns/v1". Without an app nobody looks up names.
//
// When the dapr version in go.mod changes, compare run() with runWithContext in dapr's cmd/daprd/app/app.go.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/dapr/components-contrib/secretstores/local/env"
	"github.com/dapr/components-contrib/secretstores/local/file"
	contribstate "github.com/dapr/components-contrib/state"
	"github.com/dapr/components-contrib/state/etcd"
	inmemory "github.com/dapr/components-contrib/state/in-memory"
	"github.com/dapr/components-contrib/state/mysql"
	postgresv1 "github.com/dapr/components-contrib/state/postgresql/v1"
	postgresv2 "github.com/dapr/components-contrib/state/postgresql/v2"
	"github.com/dapr/components-contrib/state/redis"
	"github.com/dapr/components-contrib/state/sqlite"
	"github.com/dapr/dapr/cmd/daprd/options"
	"github.com/dapr/dapr/pkg/buildinfo"
	"github.com/dapr/dapr/pkg/components"
	"github.com/dapr/dapr/pkg/components/secretstores"
	"github.com/dapr/dapr/pkg/components/state"
	"github.com/dapr/dapr/pkg/healthz"
	"github.com/dapr/dapr/pkg/metrics"
	"github.com/dapr/dapr/pkg/modes"
	"github.com/dapr/dapr/pkg/runtime"
	"github.com/dapr/dapr/pkg/runtime/registry"
	"github.com/dapr/dapr/pkg/security"
	"github.com/dapr/kit/concurrency"
	"github.com/dapr/kit/logger"
	"github.com/dapr/kit/signals"
	"go.opencensus.io/stats/view"
)

var log = logger.NewLogger("dapr.runtime")

// plain is a store with nothing but what every store has. The field is the interface, so Multi can't be reached: dapr then
// answers a transaction as it does on Table Storage or Firestore, which can't be run here. Etags and ttl work as before.
type plain struct{ contribstate.Store }

func newPlain(log logger.Logger) contribstate.Store {
	return plain{inmemory.NewInMemoryStateStore(log)}
}

func (store plain) Features() []contribstate.Feature {
	return slices.DeleteFunc(slices.Clone(store.Store.Features()), func(feature contribstate.Feature) bool {
		return feature == contribstate.FeatureTransactional
	})
}

// register names what component files may ask for; names, versions and defaults are those of cmd/daprd/components. Only
// "in-memory-plain" is ours.
func register() {
	contrib := logger.NewLogger("dapr.contrib")
	state.DefaultRegistry.Logger = contrib
	secretstores.DefaultRegistry.Logger = contrib

	stores := state.DefaultRegistry
	stores.RegisterComponent(redis.NewRedisStateStore, "redis")
	stores.RegisterComponent(sqlite.NewSQLiteStateStore, "sqlite", "sqlite3")
	stores.RegisterComponent(inmemory.NewInMemoryStateStore, "in-memory")
	stores.RegisterComponent(newPlain, "in-memory-plain")
	stores.RegisterComponent(mysql.NewMySQLStateStore, "mysql")
	for _, name := range []string{"postgresql", "postgres"} {
		stores.RegisterComponentWithVersions(name, components.Versioning{
			Preferred: components.VersionConstructor{Version: "v2", Constructor: postgresv2.NewPostgreSQLStateStore},
			Others:    []components.VersionConstructor{{Version: "v1", Constructor: postgresv1.NewPostgreSQLStateStore}},
			Default:   "v1", // What a component file without `version:` gets.
		})
	}
	stores.RegisterComponentWithVersions("etcd", components.Versioning{
		Preferred:  components.VersionConstructor{Version: "v2", Constructor: etcd.NewEtcdStateStoreV2},
		Deprecated: []components.VersionConstructor{{Version: "v1", Constructor: etcd.NewEtcdStateStoreV1}},
		Default:    "v1",
	})
	secretstores.DefaultRegistry.RegisterComponent(file.NewLocalSecretStore, "local.file")
	secretstores.DefaultRegistry.RegisterComponent(env.NewEnvSecretStore, "local.env")
}

func main() {
	opts, err := options.New(os.Args[1:])
	if err != nil {
		log.Fatalf("Failed to parse flags: %v", err)
	}
	if opts.RuntimeVersion {
		fmt.Println(buildinfo.Version())
		return
	}
	opts.Logger.SetAppID(opts.AppID)
	if err := logger.ApplyOptionsToLoggers(&opts.Logger); err != nil {
		log.Fatal(err)
	}
	register()
	if err := run(signals.Context(), opts); err != nil {
		log.Fatalf("Fatal error from runtime: %s", err)
	}
}

// run serves until the context ends. Security is needed even without mTLS: the runtime asks its handler for identities.
func run(ctx context.Context, opts *options.Options) error {
	health := healthz.New()
	provider, err := security.New(ctx, security.Options{
		ControlPlaneTrustDomain: opts.ControlPlaneTrustDomain,
		ControlPlaneNamespace:   opts.ControlPlaneNamespace,
		AppID:                   opts.AppID,
		MTLSEnabled:             opts.EnableMTLS,
		Mode:                    modes.DaprMode(opts.Mode),
		Healthz:                 health,
	})
	if err != nil {
		return err
	}
	serve := func(ctx context.Context) error {
		handler, err := provider.Handler(ctx)
		if err != nil {
			return err
		}
		daprd, err := runtime.FromConfig(ctx, config(opts, handler, health))
		if err != nil {
			return err
		}
		return daprd.Run(ctx)
	}
	return concurrency.NewRunnerManager(provider.Run, serve).Run(ctx)
}

// config passes on the flags that mean something to a sidecar of state stores; the others are accepted and do nothing.
func config(opts *options.Options, handler security.Handler, health healthz.Healthz) *runtime.Config {
	return &runtime.Config{
		AppID:                         opts.AppID,
		Mode:                          opts.Mode,
		ResourcesPath:                 opts.ResourcesPath,
		Config:                        opts.Config,
		DaprHTTPPort:                  opts.DaprHTTPPort,
		DaprAPIGRPCPort:               opts.DaprAPIGRPCPort,
		DaprAPIListenAddresses:        opts.DaprAPIListenAddresses,
		DaprInternalGRPCPort:          opts.DaprInternalGRPCPort,
		DaprInternalGRPCListenAddress: opts.DaprInternalGRPCListenAddress,
		ProfilePort:                   opts.ProfilePort, // Parsed as a number even with profiling off: "" is an error.
		EnableProfiling:               opts.EnableProfiling,
		EnableAPILogging:              opts.EnableAPILogging,
		MaxRequestSize:                opts.MaxRequestSize,
		ReadBufferSize:                opts.ReadBufferSize,
		SchedulerStreams:              opts.SchedulerJobStreams, // At least 1 is demanded even where there is no scheduler.
		DaprGracefulShutdownSeconds:   opts.DaprGracefulShutdownSeconds,
		Metrics: metrics.Options{
			Enabled:       opts.Metrics.Enabled(),
			Log:           log,
			Port:          opts.Metrics.Port(),
			ListenAddress: opts.Metrics.ListenAddress(),
			Namespace:     metrics.DefaultMetricNamespace,
			Healthz:       health,
			Meter:         view.NewMeter(),
		},
		Registry: registry.NewOptions(), // The default registries, which register() filled.
		Security: handler,
		Healthz:  health,
	}
}
