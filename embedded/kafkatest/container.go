package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/log"
)

// EnvImage names the image of which brokers are started where a Docker engine
// answers: Kafka's jars in /opt/kafka/libs and a java of 17 or later. Where it is
// set, nothing else will do; where it is not, it is Apache's own of the version
// that scripts/fetch-kafka.sh fetches.
const EnvImage = "OVERREACH_TEST_KAFKA_IMAGE"

const officialImage = "apache/kafka:4.3.1"

// image is that of EnvImage, and whether it must be taken.
func image() (name string, must bool) {
	if name := os.Getenv(EnvImage); name != "" {
		return name, true
	}
	return officialImage, false
}

// engineTimeout is how long a Docker engine may take to say that it is there,
// imageTimeout how long it may take to have the image.
const (
	engineTimeout = 3 * time.Second
	imageTimeout  = 3 * time.Minute
)

// dockerAnswers reports why no Docker engine can be used, nil where one can.
func dockerAnswers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = docker.Close() }() // it was only asked
	_, err = docker.Ping(ctx, client.PingOptions{})
	return err
}

// inContainer is a broker in a container on the host's own network, so that its
// addresses are the same inside, outside, and in its next life.
type inContainer struct {
	t     testing.TB
	name  string
	image string
	files []string // read by the broker, under the same names as outside
	plan  *plan
	made  *testcontainers.DockerContainer
}

const containerLibs = "/opt/kafka/libs/*"

func (b *inContainer) start() error {
	ctx, cancel := context.WithTimeout(b.t.Context(), imageTimeout)
	defer cancel()
	if b.made != nil {
		return b.made.Start(ctx)
	}
	java := "java " + strings.Join(jvm, " ") + " -cp '" + containerLibs + "' "
	command := []string{"sh", "-c", java + `kafka.tools.StorageTool "$@" && exec ` + java + "kafka.Kafka " + b.plan.file(), "sh"}
	command = append(append(command, b.plan.format()...), "--ignore-formatted", "--config", b.plan.file())
	var files []testcontainers.ContainerFile
	for _, file := range b.files {
		files = append(files, testcontainers.ContainerFile{HostFilePath: file, ContainerFilePath: file, FileMode: 0o644})
	}
	made, err := testcontainers.Run(ctx, b.image,
		testcontainers.WithLogger(log.TestLogger(b.t)),
		testcontainers.WithEntrypoint(command...),
		testcontainers.WithFiles(files...),
		testcontainers.WithConfigModifier(func(c *container.Config) { c.User = "0" }), // to make its folder
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) { c.NetworkMode = "host" }),
		// An engine without a bridge is given one, to which the container is not to be bound.
		testcontainers.WithEndpointSettingsModifier(func(networks map[string]*network.EndpointSettings) { clear(networks) }),
	)
	b.made = made // not nil where it was made and did not start
	return err
}

func (b *inContainer) end(atOnce bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin+10*time.Second)
	defer cancel()
	if !atOnce {
		within := stopWithin
		return b.made.Stop(ctx, &within)
	}
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = docker.Close() }() // what it did is asked for below
	if _, err := docker.ContainerKill(ctx, b.made.GetContainerID(), client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		return err
	}
	for {
		state, err := b.made.State(ctx)
		if err != nil || !state.Running {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (b *inContainer) tool(class string, args []string) (string, error) {
	command := append(append([]string{"java"}, jvm...), "-cp", containerLibs, class)
	code, out, err := b.made.Exec(b.t.Context(), append(command, args...), exec.Multiplexed())
	if err != nil {
		return "", err
	}
	said, err := io.ReadAll(out)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	return string(said), err
}

func (b *inContainer) read(file string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), imageTimeout)
	defer cancel()
	from, err := b.made.CopyFileFromContainer(ctx, b.plan.data(file))
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(from)
	return all, errors.Join(err, from.Close())
}

func (b *inContainer) write(file string, all []byte) error {
	ctx, cancel := context.WithTimeout(b.t.Context(), imageTimeout)
	defer cancel()
	return b.made.CopyToContainer(ctx, all, b.plan.data(file), 0o644)
}

func (b *inContainer) cleanUp() {
	if b.made == nil {
		return
	}
	if b.t.Failed() {
		b.t.Logf("%s logged:\n%s", b.name, b.log())
	}
	if err := testcontainers.TerminateContainer(b.made, testcontainers.StopTimeout(0)); err != nil {
		b.t.Errorf("ending %s: %v", b.name, err)
	}
}

func (b *inContainer) log() string {
	r, err := b.made.Logs(context.Background())
	if err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return string(text) + err.Error()
	}
	return string(text)
}
