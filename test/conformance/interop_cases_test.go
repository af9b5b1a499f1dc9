package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type call = func(context.Context, testgrpc.TestServiceClient, *grpc.ClientConn) error

// interopCases has grpc-go's standard cases by name, and further ones.
var interopCases = []struct {
	name string
	run  call
}{
	{"empty_unary", standard(interop.DoEmptyUnaryCall)},
	{"large_unary", standard(interop.DoLargeUnaryCall)},
	{"client_streaming", standard(interop.DoClientStreaming)},
	{"server_streaming", standard(interop.DoServerStreaming)},
	{"ping_pong", standard(interop.DoPingPong)},
	{"empty_stream", standard(interop.DoEmptyStream)},
	{"timeout_on_sleeping_server", standard(interop.DoTimeoutOnSleepingServer)},
	{"cancel_after_begin", standard(interop.DoCancelAfterBegin)},
	{"cancel_after_first_response", standard(interop.DoCancelAfterFirstResponse)},
	{"custom_metadata", standard(interop.DoCustomMetadata)},
	{"status_code_and_message", standard(interop.DoStatusCodeAndMessage)},
	{"special_status_message", standard(interop.DoSpecialStatusMessage)},
	{"unimplemented_method", unimplementedMethod},
	{"unimplemented_service", unimplementedService},
	{"our_gzip", standard(func(ctx context.Context, c testgrpc.TestServiceClient, o ...grpc.CallOption) {
		interop.DoLargeUnaryCall(ctx, c, append(o, grpc.UseCompressor(gzip.Name))...)
	})},
	{"our_hundred_calls", hundredCalls},
	{"our_twenty_connections", twentyConnections},
	{"our_thirty_streams_at_once", thirtyStreams},
	{"our_metadata_of_6_KiB", bigMetadata},
	{"our_answers_after_half_close", answersAfterHalfClose},
	{"our_stream_that_ends_before_its_caller_does", endsBeforeItsCaller},
	{"our_first_message_comes_at_once", firstMessageAtOnce},
	{"our_deadline_reaches_the_backend", deadlineIsPassedOn},
}

// standard is a case of grpc-go, which ends the process if it fails.
func standard(f func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)) call {
	return func(ctx context.Context, c testgrpc.TestServiceClient, _ *grpc.ClientConn) error {
		f(ctx, c)
		return nil
	}
}

func unimplementedMethod(ctx context.Context, _ testgrpc.TestServiceClient, conn *grpc.ClientConn) error {
	interop.DoUnimplementedMethod(ctx, conn)
	return nil
}

func unimplementedService(ctx context.Context, _ testgrpc.TestServiceClient, conn *grpc.ClientConn) error {
	interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn))
	return nil
}

func dial(address string) *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err) // only for a bad option
	}
	return conn
}

func hundredCalls(ctx context.Context, c testgrpc.TestServiceClient, _ *grpc.ClientConn) error {
	for range 100 {
		interop.DoLargeUnaryCall(ctx, c)
	}
	return nil
}

func twentyConnections(ctx context.Context, _ testgrpc.TestServiceClient, conn *grpc.ClientConn) error {
	for range 20 {
		further := dial(strings.TrimPrefix(conn.Target(), "passthrough:///"))
		interop.DoEmptyUnaryCall(ctx, testgrpc.NewTestServiceClient(further))
		further.Close()
	}
	return nil
}

func thirtyStreams(ctx context.Context, c testgrpc.TestServiceClient, _ *grpc.ClientConn) error {
	var streams sync.WaitGroup
	for range 30 {
		streams.Go(func() { interop.DoPingPong(ctx, c) })
	}
	streams.Wait()

	return nil
}

func bigMetadata(ctx context.Context, c testgrpc.TestServiceClient, _ *grpc.ClientConn) error {
	const key = "x-grpc-test-echo-initial"
	value := strings.Repeat("0123456789abcdef", 6<<10/16)
	var back metadata.MD
	_, err := c.UnaryCall(metadata.AppendToOutgoingContext(ctx, key, value), &testgrpc.SimpleRequest{ResponseSize: 1},
		grpc.Header(&back))
	if got := strings.Join(back.Get(key), ""); err != nil || got != value {
		return fmt.Errorf("%d of %d bytes came back: %w", len(got), len(value), err)
	}

	return nil
}

// answersAfterHalfClose sends everything, half-closes, and expects three later
// messages.
func answersAfterHalfClose(ctx context.Context, c testgrpc.TestServiceClient, _ *grpc.ClientConn) error {
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}

	pause := int32(200 * time.Millisecond / time.Microsecond)
	wanted := []*testgrpc.ResponseParameters{{Size: 10}, {Size: 10, IntervalUs: pause}, {Size: 10, IntervalUs: pause}}
	if err := errors.Join(s.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: wanted}),
		s.CloseSend()); err != nil {
		return err
	}

	for i := range wanted {
		if _, err := s.Recv(); err != nil {
			return fmt.Errorf("message %d after our end: %w", i+1, err)
		}
	}

	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the stream's end is %w", err)
	}

	return nil
}

// endsBeforeItsCaller expects the status of a call before the caller has
// half-closed it.
func endsBeforeItsCaller(ctx context.Context, c testgrpc.TestServiceClient, _ *grpc.ClientConn) error {
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	lost := &testgrpc.EchoStatus{Code: int32(codes.DataLoss)}
	if err := s.Send(&testgrpc.StreamingOutputCallRequest{ResponseStatus: lost}); err != nil {
		return err
	}

	if _, err := s.Recv(); status.Code(err) != codes.DataLoss {
		return fmt.Errorf("the call ended with %w", err)
	}

	return nil
}

// firstMessageAtOnce fails if the first message arrives only with the second or
// with the end.
func firstMessageAtOnce(ctx context.Context, c testgrpc.TestServiceClient, _ *grpc.ClientConn) error {
	const pause = 2 * time.Second
	s, err := c.StreamingOutputCall(ctx,
		&testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{
			{Size: 100}, {Size: 100, IntervalUs: int32(pause / time.Microsecond)},
		}})
	if err != nil {
		return err
	}

	began := time.Now()
	if _, err := s.Recv(); err != nil {
		return err
	}
	if took := time.Since(began); took > pause/2 {
		return fmt.Errorf("the first message took %v", took)
	}

	return nil
}

func deadlineIsPassedOn(ctx context.Context, c testgrpc.TestServiceClient, _ *grpc.ClientConn) error {
	const limit = 8 * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var back metadata.MD
	if _, err := c.UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseSize: 1}, grpc.Header(&back)); err != nil {
		return err
	}

	seen, err := time.ParseDuration(strings.Join(back.Get("x-deadline-seen"), ""))
	if err != nil || seen > limit || seen < limit/2 {
		return fmt.Errorf("of %v the backend saw %v: %w", limit, seen, err)
	}

	return nil
}

func wantUnavailable(ctx context.Context, c testgrpc.TestServiceClient, _ *grpc.ClientConn) error {
	_, err := c.EmptyCall(ctx, &testgrpc.Empty{})
	if status.Code(err) != codes.Unavailable {
		return fmt.Errorf("a call without a backend ends with %w", err)
	}
	return nil
}
