package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// grace is how long queries may take to end when the server stops, before
// they are cut off.
const grace = 5 * time.Second

// server accepts clients of both protocols.
type server struct {
	engine *engine
	log    zerolog.Logger
	http   *http.Server
	end    context.CancelFunc // of what HTTP's clients are running

	mu      sync.Mutex
	native  net.Listener
	clients map[net.Conn]struct{}
	ended   bool
	running sync.WaitGroup // of native clients
}

func newServer(e *engine, log zerolog.Logger) *server {
	s := &server{engine: e, log: log, clients: map[net.Conn]struct{}{}}
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	s.http = &http.Server{
		Handler:           &httpHandler{engine: e, log: log},
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
	}
	return s
}

// start accepts clients until stop.
func (s *server) start(native, web net.Listener) {
	s.native = native
	go func() {
		if err := s.http.Serve(web); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error().Err(err).Msg("HTTP ended")
		}
	}()
	go func() {
		for {
			conn, err := native.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				s.log.Error().Err(err).Msg("a client could not be accepted")
				time.Sleep(100 * time.Millisecond) // out of file descriptors, which come back
				continue
			}
			if !s.admit(conn) {
				_ = conn.Close()
				return
			}
			go s.serve(conn)
		}
	}()
}

func (s *server) admit(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.clients[conn] = struct{}{}
	s.running.Add(1)
	return true
}

// serve answers one client of the native protocol. A panic ends that client's
// connection, not the process.
func (s *server) serve(conn net.Conn) {
	defer s.running.Done()
	defer func() {
		if p := recover(); p != nil {
			s.log.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Msg("a client's connection panicked")
		}
		_ = conn.Close()
		s.mu.Lock()
		delete(s.clients, conn)
		s.mu.Unlock()
	}()
	if err := serveNative(s.engine, conn); err != nil {
		s.log.Warn().Err(err).Msg("a client's connection ended")
	}
}

// stop ends all clients: their queries are cancelled, as when they leave.
func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = s.native.Close()
	s.mu.Lock()
	s.ended = true
	for conn := range s.clients {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.end()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close()
	}
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		s.log.Warn().Dur("after", grace).Msg("queries are still running and are cut off")
	}
}
