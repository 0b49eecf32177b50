package Plack::App::LogMeIn::Answer;

use strict;
use warnings;
use JSON::PP ();

our $VERSION = '0.01';

my $RETRY      = 5;                                                                    # seconds
my $NO_STORE   = 'no-cache, no-store, must-revalidate, private';
my $FAULT      = 'This is not possible at the moment. Please try again later.';
my $BUSY       = 'Too many people are logging in at this moment. Please try again.';
my $NO_SERVICE = 'No service answers at this port. Run the app with "logmein serve --app FILE", or'
    . ' set its option service or ports.';
my $BY_POST = 'Send user and pass in the body of a POST request.';

# The gateway's refusals: status, text and headers. Those of logins have the text of
# the core.
my %REFUSAL = (
    access_denied     => [ 403, 'Access denied' ],
    bad_form          => [ 400, 'The form is malformed.' ],
    bad_host          => [ 400, 'The Host header is invalid.' ],
    bad_request       => [ 400, 'Bad request.' ],
    busy              => [ 503, $BUSY,    'Retry-After' => $RETRY ],
    by_get            => [ 405, $BY_POST, Allow         => 'POST' ],
    clear_text        => [ 400, 'Use https.' ],
    content_type      => [ 415, 'This content type is not supported.' ],
    expired           => [ 401, 'Your session has expired. Please log in again.' ],
    fault             => [ 503, $FAULT, 'Retry-After' => $RETRY ],
    foreign_login     => [ 403, 'A login in JSON is not possible from another site.' ],
    foreign_logout    => [ 409, 'Another site asks to log you out.' ],
    form_length       => [ 413, 'The form is too long.' ],
    head_length       => [ 431, 'The head of the request is too long.' ],
    login_fault       => [ 503, $FAULT, 'Retry-After' => $RETRY ],
    login_invalid     => [ 401, 'The login is invalid.' ],
    login_no_user     => [ 401, 'You must specify a username to log in.' ],
    login_parameter   => [ 400, 'Bad request.' ],
    login_wait        => [ 429, 'Too many failed logins.' ],
    method            => [ 405, 'Use GET or POST.', Allow => 'GET, HEAD, POST' ],
    no_length         => [ 411, 'The length of the body is missing.' ],
    no_service        => [ 404, $NO_SERVICE ],
    no_session        => [ 401, 'Please log in.' ],
    not_found         => [ 404, 'Not found.' ],
    other_user        => [ 409, 'You are logged in as another user.' ],
    passive           => [ 403, 'Open this link in a browser.' ],
    permission_denied => [ 403, 'Permission denied' ],
    slow              => [ 408, 'The request took too long.' ],
    spent             => [ 401, 'This link has been used.' ],
    too_long          => [ 413, 'The request is too long.' ],
    token_missing     => [ 401, 'The security token is missing from your request.' ],
    token_wrong       => [ 401, 'The security token in your request is invalid.' ],
    unknown           => [ 401, 'This link is invalid or has expired. Please log in.' ],
);

# The refusals of a server, before the gateway sees a request.
my %AT_SERVER = (
    400 => 'bad_request',
    403 => 'access_denied',
    408 => 'slow',
    411 => 'no_length',
    413 => 'too_long',
    431 => 'head_length',
    503 => 'busy',
);

my $JSON = JSON::PP->new->ascii->allow_nonref;

# Takes a Plack::App::LogMeIn::Page and the setting hsts.
sub new {
    my ( $class, %part ) = @_;
    return bless {%part}, $class;
}

# The names of all refusals.
sub refusals {
    my @names = sort keys %REFUSAL;
    return @names;
}

sub text_of { my ( $class, $name ) = @_; return $REFUSAL{$name}[1] }

sub no_store { return $NO_STORE }

sub headers {
    my ( $self, $type, @more ) = @_;
    my %later = @more;
    return [
        'Content-Type'            => $type,
        'Cache-Control'           => $NO_STORE,
        'Content-Security-Policy' => $self->{page}->policy,
        ( exists $later{'Referrer-Policy'} ? () : ( 'Referrer-Policy' => 'no-referrer' ) ),
        'X-Content-Type-Options'     => 'nosniff',
        'X-Frame-Options'            => 'DENY',
        'Cross-Origin-Opener-Policy' => 'same-origin',
        (
            $self->{hsts} =~ /\A[0-9]+\z/
            ? ( 'Strict-Transport-Security' => "max-age=$self->{hsts}" )
            : ()
        ),
        @more,
    ];
}

sub text {
    my ( $self, $status, $text, @headers ) = @_;
    return [ $status, $self->headers( 'text/plain; charset="utf-8"', @headers ), ["$text\n"] ];
}

# Keeps the order of the pairs, because some clients match the text.
sub json {
    my ( $self, $status, $pairs, @headers ) = @_;
    my @pairs = @{$pairs};
    my @text;
    while ( my ( $name, $value ) = splice @pairs, 0, 2 ) {
        push @text, "\"$name\":" . $JSON->encode($value);
    }
    my $body = '{' . join( q{,}, @text ) . '}';
    return [ $status, $self->headers( 'text/plain; charset="utf-8"', @headers ), [$body] ];
}

sub _xml {
    my ( $self, $status, $pairs, @headers ) = @_;
    my @pairs = @{$pairs};
    my $text  = q{};
    while ( my ( $name, $value ) = splice @pairs, 0, 2 ) {
        $text .= "<$name>" . ( $value =~ s/([<>&])/'&#' . ord($1) . ';'/ger ) . "</$name>";
    }
    my $body = qq{<?xml version="1.0" encoding="utf-8"?>\n<cpanelresult>$text</cpanelresult>\n};
    return [ $status, $self->headers( 'text/xml; charset=utf-8', @headers ), [$body] ];
}

# Some clients follow the Location header, others the META element, which they find by
# exactly this text.
sub redirect {
    my ( $self, $status, $target, @headers ) = @_;
    my $attribute = $target =~ s/&/&amp;/gr;
    my $body      = <<"HTML";
<!DOCTYPE html>
<html><head><META HTTP-EQUIV="refresh" CONTENT="2;URL=$attribute"><title>Log in</title></head>
<body><a href="$attribute">Continue</a></body></html>
HTML
    return [
        $status, $self->headers( 'text/html; charset=utf-8', Location => $target, @headers ),
        [$body]
    ];
}

sub page {
    my ( $self, $status, $service, $parts, @headers ) = @_;
    my $html = $self->{page}->html( service => $service, %{$parts} );
    return [ $status, $self->headers( 'text/html; charset=utf-8', @headers ), [$html] ];
}

# Every refusal: in XML or JSON for programs, as a page or a text for browsers. May be
# given: text, if it is not the usual one; code, a login's message to a program; page,
# its parts; headers.
sub refuse {
    my ( $self, $request, $name, %how ) = @_;
    my ( $status, $usual, @headers ) = @{ $REFUSAL{$name} };
    my $text = $how{text} // $usual;
    @headers = @{ $how{headers} } if $how{headers};
    my $kind = $request->program;
    if ($kind) {
        my $reason = _reason_of( $name, $status );
        my @pairs =
            $request->is_login
            ? ( message => $how{code} // $text, reason => $reason )
            : ( error => $text, $reason eq 'fault' ? ( reason => $reason ) : () );
        unshift @pairs, status => 0;
        return $kind eq 'xml'
            ? $self->_xml( $status, \@pairs, @headers )
            : $self->json( $status, \@pairs, @headers );
    }
    my $service = $request->service;
    my $page    = $how{page} // ( $status == 503 ? { heading => 'Not available' } : undef );
    return $self->page( $status, $service, { alert => $text, %{$page} }, @headers )
        if $page && $service;
    return $self->text( $status, $text, @headers );
}

# The reason of a refused login, as the core has it.
sub _reason_of {
    my ( $name, $status ) = @_;
    return
          $status == 503           ? 'fault'
        : $name eq 'login_wait'    ? 'wait'
        : $name eq 'login_invalid' ? 'invalid'
        :                            'parameter';
}

sub refuse_at_server {
    my ( $self, $request, $status ) = @_;
    return $self->refuse( $request, $AT_SERVER{$status} // die "no refusal $status\n" );
}

1;

__END__

=head1 NAME

Plack::App::LogMeIn::Answer - the answers of the gateway

=head1 DESCRIPTION

Internal to L<Plack::App::LogMeIn>. Every refusal is made by C<refuse>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
