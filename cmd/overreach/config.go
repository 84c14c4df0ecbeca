package main

// Config is everything that can be set for overreach. Each value comes from a
// flag, else from the environment, else from the file, else is the default.
//
// docs/config.md is generated from the comments and tags below.
type Config struct {
	Kafka      KafkaConfig      `yaml:"kafka"`
	ClickHouse ClickHouseConfig `yaml:"clickhouse"`

	// The registry: what each partner may do. It is read again when it changes.
	Registry FilePath `yaml:"registry"`
	// File that holds the key under which user ids are hashed before they leave
	// the process: 32 hexadecimal digits. `openssl rand -hex 16` makes one. Keep
	// it: under another key the same person counts as two. OVERREACH_HASH_KEY
	// may hold the key itself instead.
	HashKeyFile FilePath `yaml:"hash_key_file"`

	Time      TimeConfig      `yaml:"time"`
	Batch     BatchConfig     `yaml:"batch"`
	Judge     JudgeConfig     `yaml:"judge"`
	Alerts    AlertsConfig    `yaml:"alerts"`
	Retention RetentionConfig `yaml:"retention"`

	// Where /metrics, /healthz and /readyz are served, as host:port; a port alone
	// (":9464") is served on every interface. `off` serves them nowhere.
	Listen string `yaml:"listen" default:"127.0.0.1:9464"`

	Log LogConfig `yaml:"log"`

	secrets *secrets // behind a pointer, so that printing a Config never shows them
}

// KafkaConfig says where events come from.
type KafkaConfig struct {
	// Some of the cluster's brokers, each as host:port; the others are found.
	Brokers []string `yaml:"brokers"`
	// A name for the cluster in tables and findings. By default the id that the
	// cluster gives itself. Name it where two clusters share an id, or where it
	// may change: records of another name are counted as other records.
	Cluster string `yaml:"cluster"`
	// The topics to read. The number of partitions of the first is into how many
	// parts the judging can be shared among instances.
	Topics []TopicConfig `yaml:"topics"`
	// The consumer group. Instances of the same group share the partitions.
	Group string `yaml:"group" default:"overreach"`
	// Where to begin in a partition that was never read: `earliest`, `latest`, or
	// `since:` with a time, as in `since:2018-11-05T00:00:00Z`. It has no default:
	// to begin late means to prove nothing about what was before.
	Start Start `yaml:"start"`
	// How long a partition stands before records that cannot be decoded (a wrong
	// CRC, broken compression or structure, a format of before Kafka 0.11) until
	// it passes them and marks them as unreadable. Until then another replica may
	// have them whole: an hour is time to be paged and to move the partition's
	// leader. `0s` means never: only `overreach skip` passes them. Whoever is away
	// or refuses is never passed.
	UnreadableAfter Duration `yaml:"unreadable_after" default:"1h"`

	TLS  TLSConfig  `yaml:"tls"`
	SASL SASLConfig `yaml:"sasl"`
}

// TopicConfig is one topic and how it is read.
type TopicConfig struct {
	// The topic's name.
	Topic string `yaml:"topic" required:"true"`
	// How its records become events: the name of a mapping that comes with
	// overreach, or the file of another. Without one each record is one event in
	// overreach's own JSON.
	Mapping Mapping `yaml:"mapping"`
	// Whether it is read for its past alone, so that it does not hold back the
	// clock by which the other topics are judged.
	Backfill bool `yaml:"backfill"`
	// Whether records that cannot be read are kept whole with the reason, up to 4
	// MiB. They may hold user ids; without it only the names and types of their
	// members are kept.
	KeepRaw bool `yaml:"keep_raw"`
}

// TLSConfig is how a connection is encrypted.
type TLSConfig struct {
	// Whether to use TLS.
	Enabled bool `yaml:"enabled" default:"false"`
	// PEM file of the authorities that may vouch for the server. By default those
	// of the system.
	CA FilePath `yaml:"ca"`
	// PEM file of the certificate that overreach shows.
	Cert FilePath `yaml:"cert"`
	// PEM file of that certificate's key.
	Key FilePath `yaml:"key"`
	// The name that the server's certificate must have, where it is not the host
	// connected to.
	ServerName string `yaml:"server_name"`
}

// SASLConfig is how overreach says to Kafka who it is.
type SASLConfig struct {
	// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`. By default none.
	Mechanism string `yaml:"mechanism"`
	// The user.
	Username string `yaml:"username"`
	// File that holds the password. OVERREACH_KAFKA_PASSWORD may hold the
	// password itself instead.
	PasswordFile FilePath `yaml:"password_file"`
}

// ClickHouseConfig says where usage and findings are kept.
type ClickHouseConfig struct {
	// Servers of the native protocol, each as host:port; the first that answers
	// is used. The port is 9000, or 9440 with TLS, unless it was changed.
	Addresses []string `yaml:"addresses"`
	// The database. It must exist; `overreach migrate` makes the tables.
	Database string `yaml:"database" default:"overreach"`
	// The user.
	Username string `yaml:"username" default:"default"`
	// File that holds the password. OVERREACH_CLICKHOUSE_PASSWORD may hold the
	// password itself instead.
	PasswordFile FilePath  `yaml:"password_file"`
	TLS          TLSConfig `yaml:"tls"`
	// The cluster, as the servers' configuration names it, on which `migrate`
	// makes replicated tables. By default the tables are not replicated.
	Cluster string `yaml:"cluster"`
}

// TimeConfig says which event times are believed, and how long to wait for late
// events.
type TimeConfig struct {
	// By how much event time may be out of order. What compares shapes, and what
	// is absent, is judged so much later. Events later than that are counted all
	// the same, and judged again.
	Lateness Duration `yaml:"lateness" default:"5m"`
	// How long a partition that stands still holds up what is judged of all others:
	// one that is stopped, whose clock stands, or that holds no event any more. Longer
	// than a restart and a broker's election take, and well below an hour, so that
	// closed hours are judged within the next. The watermark then leaves it out until
	// its event time moves; what comes of it is late, and judged again. One that works
	// off a backlog is waited for, however long that takes.
	StalledAfter Duration `yaml:"stalled_after" default:"10m"`
	// Events before this day (UTC) are rejects.
	MinTime Date `yaml:"min_time" default:"2000-01-01"`
	// Events further ahead of their record's own Kafka time are rejects.
	MaxFuture Duration `yaml:"max_future" default:"1h"`
}

// BatchConfig says when what was read from a partition is written: whichever
// comes first. None takes more memory than its share of 256 MB.
type BatchConfig struct {
	// Events in a batch.
	MaxEvents int `yaml:"max_events" default:"100000"`
	// Keys in a batch: pairs of a usage key (partner, app, capability, action) and a
	// minute of event time. Each holds some hundred bytes, and 16 KiB where more
	// than 511 people were touched, which max_events bounds.
	MaxKeys int `yaml:"max_keys" default:"50000"`
	// How long an event waits. `0s` means two seconds, or a tenth of a second for
	// each partition of the group where that is more, which keeps ClickHouse
	// under ten inserts a second.
	MaxAge Duration `yaml:"max_age" default:"0s"`
}

// JudgeConfig says how the judge works.
type JudgeConfig struct {
	// The time between two rounds.
	Interval Duration `yaml:"interval" default:"1s"`
	// How many partners that the registry does not know are judged apart. The
	// rest is one sum, `(unregistered)`.
	MaxUnregistered int `yaml:"max_unregistered" default:"1000"`
	// How many apps of a partner are told apart. The rest is one sum.
	MaxApps int `yaml:"max_apps" default:"100"`
}

// AlertsConfig says who is told of findings. Where neither an Alertmanager nor a
// webhook is named, they are logged and kept alone. Instances share the alerts as
// they share the partners.
type AlertsConfig struct {
	// A finding that could have been noticed longer ago than this when it is found
	// is a line in a digest, unless it goes on: it is open and its last access is
	// at most so old. An alert that is over, and that no receiver took for so long,
	// is given up.
	MaxAge Duration `yaml:"max_age" default:"24h"`
	// What is found of one partner within this time is one alert, of the worst of
	// it; it says how many it stands for.
	Group Duration `yaml:"group" default:"10m"`
	// More partners than this that the registry does not know, at once, are one
	// alert of the partner `(unregistered)`, until none of them is left. So many
	// names somebody can look at one by one; more have one cause, such as a
	// producer that puts a session id into `partner`.
	MaxStrangers int `yaml:"max_strangers" default:"20"`
	// How often what fires is told to Alertmanager again. It is resolved by
	// itself an hour after the last time, should all instances be gone.
	Resend Duration `yaml:"resend" default:"1m"`
	// Where on-call finds the pages of the detectors: the address that
	// "docs/detectors/volume_limit.md" is put behind.
	Runbooks     string             `yaml:"runbooks" default:"https://github.com/overreach/overreach/blob/main/"`
	Alertmanager AlertmanagerConfig `yaml:"alertmanager"`
	Webhook      WebhookConfig      `yaml:"webhook"`
}

// AlertmanagerConfig says how alerts reach Alertmanager (API v2).
type AlertmanagerConfig struct {
	// Every instance of a cluster of Alertmanagers, as in
	// [http://alertmanager:9093]; each is told.
	URLs []string `yaml:"urls"`
	// The user, where it asks for one.
	Username string `yaml:"username"`
	// File that holds the password. OVERREACH_ALERTMANAGER_PASSWORD may hold the
	// password itself instead.
	PasswordFile FilePath  `yaml:"password_file"`
	TLS          TLSConfig `yaml:"tls"`
}

// WebhookConfig says where alerts are posted as JSON.
type WebhookConfig struct {
	// The address.
	URL string `yaml:"url"`
	// File that holds the secret by which each request is signed (HMAC-SHA256), 16
	// bytes or more. OVERREACH_WEBHOOK_SECRET may hold the secret itself instead.
	SecretFile FilePath  `yaml:"secret_file"`
	TLS        TLSConfig `yaml:"tls"`
}

// RetentionConfig says how long rows are kept, in whole days from the day on
// which they were read, never from event time. Usage by day, coverage and
// findings are kept for ever.
type RetentionConfig struct {
	// Raw events: what the exact query of a finding reads.
	Raw Duration `yaml:"raw" default:"90d"`
	// Usage by minute: what windows of an hour are judged by.
	Minutes Duration `yaml:"minutes" default:"15d"`
	// Usage by hour: what windows of 24 hours are judged by.
	Hours Duration `yaml:"hours" default:"400d"`
	// Records that could not be read.
	Rejects Duration `yaml:"rejects" default:"30d"`
}

// LogConfig says what is logged, to stderr, and how.
type LogConfig struct {
	// The least level that is logged: `debug`, `info`, `warn` or `error`.
	Level string `yaml:"level" default:"info"`
	// `console` or `json`. By default console on a terminal, else json.
	Format string `yaml:"format"`
}
