package Cpanel::LogMeIn::Server::Head;

use strict;
use warnings;
use Exporter         qw(import);
use HTTP::Parser::XS qw(parse_http_request);
use List::Util       qw(first);

our $VERSION = '0.01';

our @EXPORT_OK = qw(read_head take_head);

my $HEAD_MAX = 65_536;        # bytes
my $BODY_MAX = 67_108_864;    # bytes

my $TOKEN_BYTES = q{!#$%&'*+.^_`|~0-9A-Za-z-};

# Moves the head of a request, including its empty line, out of the buffer; undef if
# it is not complete yet. More than HEAD_MAX bytes are a head, too: an invalid one.
# One empty line before it is allowed.
sub take_head {
    my ($buffer) = @_;
    ${$buffer} =~ s/\A\r\n(?=[^\r])//;
    my ($head) = ${$buffer} =~ /\A(.*?\n\r?\n)/s;
    return length ${$buffer} > $HEAD_MAX ? ${$buffer} : undef if !defined $head;
    return substr ${$buffer}, 0, length $head, q{};
}

# Reads a head into the environment. Returns the status for an invalid one, 0 if it
# is valid. Ambiguous requests, which programs may interpret differently, are invalid.
sub read_head {
    my ( $head, $env ) = @_;
    my $status = _status_of( \$head );
    my $broken = $status == 400 || $status == 431;
    return $status if !$broken && parse_http_request( $head, $env ) > 0;
    _read_what_is_clear( $head, $env );
    return $status || 400;
}

# What is known of an invalid head, so that the refusal suits the client.
sub _read_what_is_clear {
    my ( $head, $env ) = @_;
    my ( $method, $target ) = $head =~ m{\A([A-Z]{1,20}) ([\x21-\x7e]+) };
    my ($accept) = $head =~ /^Accept:[ \t]*([\x20-\x7e]*)/mi;
    %{$env} = (
        %{$env},
        REQUEST_METHOD  => $method // 'GET',
        REQUEST_URI     => $target // q{/},
        PATH_INFO       => q{/},
        QUERY_STRING    => q{},
        SERVER_PROTOCOL => 'HTTP/1.1',
        defined $accept ? ( HTTP_ACCEPT => $accept ) : (),
    );
    return;
}

# The status for an invalid head; 0 if it is valid. Fields with unusual names are
# removed, because CGI maps different characters to an underscore.
sub _status_of {
    my ($head) = @_;
    return 431 if length ${$head} > $HEAD_MAX;
    return 400 if ${$head} =~ /\0|\r(?!\n)|(?<!\r)\n/;
    my ( $request, @fields ) = split /\r\n/, ${$head};
    return 400 if ( $request // q{} ) !~ m{\A[A-Z]{1,20} [\x21-\x7e]+ HTTP/1[.][01]\z};
    my %values;
    for my $field (@fields) {
        my ( $name, $value ) = $field =~ /\A([$TOKEN_BYTES]+):[ \t]*(.*?)[ \t]*\z/ or return 400;
        push @{ $values{ lc $name } }, $value;
    }
    ${$head} = join "\r\n", $request, grep( { /\A[A-Za-z0-9-]+:/ } @fields ), q{}, q{};
    return 400 if $request =~ m{1[.]1\z} && !length( $values{host} ? $values{host}[0] : q{} );
    return _status_of_length( \%values ) || _status_of_expectation( \%values );
}

sub _status_of_length {
    my ($values) = @_;
    my ( $host, $length, $coding ) =
        map { $values->{$_} // [] } qw(host content-length transfer-encoding);
    return 400 if @{$host} > 1 || @{$length} > 1 || ( @{$length} && @{$coding} );
    return 411 if @{$coding};
    return 0   if !@{$length};
    return 400 if $length->[0] !~ /\A[0-9]{1,15}\z/;
    return $length->[0] > $BODY_MAX ? 413 : 0;
}

sub _status_of_expectation {
    my ($values) = @_;
    return ( first { lc ne '100-continue' } @{ $values->{expect} // [] } ) ? 417 : 0;
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Server::Head - the head of a request

=head1 DESCRIPTION

Internal to L<Cpanel::LogMeIn::Server>. Heads are parsed by L<HTTP::Parser::XS>, after
stricter checks.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
